"""Reads YAML text to plain Python values, with the line of every key."""

from __future__ import annotations

import itertools
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from mlreco.errors import UserError
from mlreco.frozen import thaw
from mlreco.inputs import read_text

KeyPath = tuple[str, ...]
"""Path to a value: keys of mappings and numbers of list items, as text."""


NO_SECTIONS = "a configuration is a mapping of sections (iotool:, model:, ...)"
"""Message for any other text."""

_MOST_CHARACTERS = 2_000_000
"""Longest text that is read; configurations have some thousands."""

_MOST_REPEATED = 10_000
"""Number of values that aliases may add to those in the text."""

_PLACED_ITEMS = 1_000
"""Number of items of a list whose lines are recorded."""

_YAML = "tag:yaml.org,2002:"
_MEANINGLESS = tuple(f"{_YAML}{name}" for name in ("binary", "omap", "pairs", "set", "timestamp"))
"""Types of YAML that do not occur in configurations."""


class Loader(yaml.SafeLoader):
    """Safe loader of mappings with plain keys, lists, texts, numbers, booleans and nulls.

    It refuses duplicate keys and other types, reads ``1e-3`` as a number, which YAML 1.1 does not, and a date as text.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _MEANINGLESS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; one of another type than those above is an error."""
        if node.tag in _MEANINGLESS:
            problem = f"values of the type '{node.tag.removeprefix(_YAML)}' have no meaning here"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_object(node, deep=deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of a node; a key that stands twice is an error."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain text", key.start_mark)
            if key.tag == f"{_YAML}merge":
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                problem = f"duplicate key '{key.value}', first on line {seen[key.value]}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen[key.value] = line
        return super().construct_mapping(node, deep=deep)


Loader.add_implicit_resolver(
    f"{_YAML}float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_yaml(text: str, source: str) -> Any:
    """Return the value of a YAML text.

    Args:
        text: the YAML text.
        source: name of the file, for messages.

    Raises:
        UserError: it is no YAML, holds other things than mappings, lists, texts and numbers, or is too large; names the
            line where there is one.
    """
    return _read(text, source, Loader)[0]


def read_sections(text: str, source: str) -> dict[str, dict[str, Any]]:
    """Return the sections of a configuration that an output or a checkpoint carries; none where the text is empty.

    Raises:
        UserError: as in `read_yaml`, or the text is no mapping of mappings; the message begins with `source`.
    """
    values = read_yaml(text, source)
    values = {} if values is None else values
    if not isinstance(values, dict) or not all(value is None or isinstance(value, dict) for value in values.values()):
        raise UserError(f"{source}: {NO_SECTIONS}")
    return {name: value or {} for name, value in values.items()}


def read_value(text: str, source: str) -> Any:
    """Return the value of a short YAML text such as the right-hand side of ``--set``.

    Raises:
        UserError: the text is no YAML; the message begins with `source`.
    """
    try:
        return read_yaml(text, "")
    except UserError as error:
        problem = re.sub(r"^:(\d+:)?", "", str(error)).strip()
        raise UserError(f"{source}: '{text[:80]}' is not valid YAML: {problem}") from error


def read_mapping(text: str, source: str, kind: type[Loader] = Loader) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Return the top-level mapping of a YAML text and the place of each key in it.

    Args:
        text: the YAML text.
        source: name of the file, for messages and places.
        kind: the loader, for files with tags of their own.

    Returns:
        The mapping, and for every key path in it a place of the form ``file:line``.

    Raises:
        UserError: as in `read_yaml`, a duplicate key, or no mapping at the top.
    """
    values, node = _read(text, source, kind)
    if node is None:
        raise UserError(f"{source}: the configuration is empty")
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{source}: {NO_SECTIONS}")
    lines: dict[KeyPath, int] = {}
    _collect_lines(node, (), lines)
    return values, {path: f"{source}:{line}" for path, line in lines.items()}


def _read(text: str, source: str, kind: type[Loader]) -> tuple[Any, yaml.Node | None]:
    """Return the value of a text and the node at its top, None where there is nothing in it."""
    if len(text) > _MOST_CHARACTERS:
        raise UserError(f"{source}: has {len(text)} characters, more than the {_MOST_CHARACTERS} that are read")
    try:
        loader = kind(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, None
            _check_repetition(node)
            return thaw(loader.construct_document(node)), node
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        raise UserError(f"{place}: {_problem(error)}") from error
    except (yaml.YAMLError, ArithmeticError, ValueError) as error:
        raise UserError(f"{source}: {_problem(error)}") from error
    except RecursionError as error:
        raise UserError(f"{source}: nested too deeply") from error


def _check_repetition(top: yaml.Node) -> None:
    """Refuse a value that contains itself, and aliases that stand for far more values than are written."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(node: yaml.Node) -> int:
        key = id(node)
        if key in within:
            raise yaml.constructor.ConstructorError(None, None, "a value that contains itself", node.start_mark)
        if key not in sizes:
            within.add(key)
            children = itertools.chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
            sizes[key] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(map(size, children)))
            within.remove(key)
        return sizes[key]

    if size(top) > len(sizes) + _MOST_REPEATED:
        problem = f"aliases stand for {size(top):,} values where {len(sizes):,} are written"
        raise yaml.constructor.ConstructorError(None, None, problem, top.start_mark)


def read_file(path: Path) -> str:
    """Return the text of a configuration file.

    Raises:
        UserError: the file is missing, unreadable or no text.
    """
    if not path.exists():
        raise UserError(f"{path}: no such configuration file")
    return read_text(path, 4 * _MOST_CHARACTERS)


def _collect_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            merged = key.tag == f"{_YAML}merge"
            child = path if merged else (*path, str(key.value))
            if not merged:
                lines[child] = key.start_mark.line + 1
            _collect_lines(value, child, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value[:_PLACED_ITEMS]):
            child = (*path, str(number))
            lines[child] = value.start_mark.line + 1
            _collect_lines(value, child, lines)


def _problem(error: Exception) -> str:
    text = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    return " ".join(f"{text} ({context})".split() if context else text.split())
