"""YAML text to plain Python values, with the line that every key came from."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from mlreco.config.frozen import thaw
from mlreco.errors import UserError

KeyPath = tuple[str, ...]
"""Way to a value: keys of mappings and numbers of list items, as text."""


class Loader(yaml.SafeLoader):
    """Safe loader that refuses duplicate keys and reads ``1e-3`` as a number, which YAML 1.1 does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of a node; a key that stands twice is an error."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                problem = f"duplicate key '{key.value}', first on line {seen[key.value]}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if isinstance(key.value, str):
                seen[key.value] = line
        return super().construct_mapping(node, deep=deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_value(text: str, source: str) -> Any:
    """Return the value of a short YAML text such as the right-hand side of ``--set``.

    Raises:
        UserError: the text is no YAML; the message begins with `source`.
    """
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{source}: '{text}' is not valid YAML: {_problem(error)}") from error


def read_mapping(text: str, source: str, kind: type[Loader] = Loader) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Return the top-level mapping of a YAML text and the place of each key in it.

    Args:
        text: the YAML text.
        source: name of the file, for messages and places.
        kind: the loader, for files with tags of their own.

    Returns:
        The mapping, and for every key path in it a place of the form ``file:line``.

    Raises:
        UserError: not YAML, a duplicate key, or no mapping at the top.
    """
    loader = kind(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise UserError(f"{source}: the configuration is empty")
        if not isinstance(node, yaml.MappingNode):
            raise UserError(f"{source}: a configuration is a mapping of sections (iotool:, model:, ...)")
        lines: dict[KeyPath, int] = {}
        _collect_lines(node, (), lines, [])
        values = thaw(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        raise UserError(f"{place}: {_problem(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{source}: {_problem(error)}") from error
    except RecursionError as error:
        raise UserError(f"{source}: nested too deeply") from error
    finally:
        loader.dispose()
    return values, {path: f"{source}:{line}" for path, line in lines.items()}


def read_file(path: Path) -> str:
    """Return the text of a configuration file.

    Raises:
        UserError: the file is missing, unreadable or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such configuration file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file, so not a configuration") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _collect_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], parents: list[yaml.Node]) -> None:
    if any(node is parent for parent in parents):
        raise yaml.constructor.ConstructorError(None, None, "a value that contains itself", node.start_mark)
    if isinstance(node, yaml.MappingNode):
        children = [(key, value) for key, value in node.value]
        for key, value in children:
            merged = key.tag == "tag:yaml.org,2002:merge"
            child = path if merged else (*path, str(key.value))
            if not merged:
                lines[child] = key.start_mark.line + 1
            _collect_lines(value, child, lines, [*parents, node])
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            child = (*path, str(number))
            lines[child] = value.start_mark.line + 1
            _collect_lines(value, child, lines, [*parents, node])


def _problem(error: Exception) -> str:
    text = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    return " ".join(f"{text} ({context})".split() if context else text.split())
