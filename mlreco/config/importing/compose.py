"""A file of lartpc_mlreco3d or SPINE with the files that it includes and the changes that it makes to them.

SPINE merges ``include`` files in their order, then the file's own keys, then ``override`` (dotted key: value), then
``remove`` (dotted keys); each included file has made its own changes before it is merged.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mlreco.config.merge import Tree
from mlreco.errors import UserError
from mlreco.yaml_reader import Loader, read_file, read_mapping

SEARCH_PATH = "SPINE_CONFIG_PATH"
"""Environment variable with the folders that SPINE looks for included files in."""
SUFFIXES = ("", ".yaml", ".yml", ".cfg")
_DIRECTIVES = ("__meta__", "include", "override", "remove")


class _TaggedLoader(Loader):
    """Loader that also takes SPINE's tags: a path or an address stays a text, an inline include is marked."""


class _Include(str):
    """Name of a file whose content stands for the value."""


def _text(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(None, None, f"a text is expected after {node.tag}", node.start_mark)
    return str(loader.construct_scalar(node))


def _address(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node).get("url")
    return _text(loader, node)


def _included(loader: yaml.SafeLoader, node: yaml.Node) -> _Include:
    return _Include(_text(loader, node))


_TaggedLoader.add_constructor("!path", _text)
_TaggedLoader.add_constructor("!download", _address)
_TaggedLoader.add_constructor("!include", _included)


def read_composed(path: Path, within: Sequence[Path] = ()) -> Tree:
    """Read a file and everything that it includes.

    Args:
        path: the file.
        within: files that include it, to tell cycles.

    Raises:
        UserError: a file is missing, no YAML, includes itself, or makes a change that is not understood.
    """
    here = path.resolve()
    if here in within:
        raise UserError(f"{path}: includes itself")
    values, places = read_mapping(read_file(path), str(path), _TaggedLoader)
    own = Tree(values, places, {(key,): path.parent for key in values}, str(path))
    _include_inline(values, path, [here, *within])
    directives = {key: values.pop(key, None) for key in _DIRECTIVES}
    tree = Tree({}, source=str(path))
    for name in _texts(directives["include"], own, "include"):
        tree.overlay(read_composed(_find(path, name), [here, *within]))
    tree.overlay(own)
    for key, value in (directives["override"] or {}).items():
        _override(tree, str(key), value, own.place(("override", str(key))))
    for name in _texts(directives["remove"], own, "remove"):
        _remove(tree, tuple(name.split(".")))
    return tree


def _include_inline(values: Any, path: Path, within: Sequence[Path]) -> None:
    """Replace each marked file name in a value by what the file holds."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(items):
        if isinstance(value, _Include):
            values[key] = read_composed(_find(path, value), within).values
        else:
            _include_inline(value, path, within)


def _find(path: Path, name: str) -> Path:
    """Return an included file: beside the file that names it, in a folder above, or in one of ``SPINE_CONFIG_PATH``."""
    folder = path.resolve().parent
    elsewhere = [Path(place) for place in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if place]
    for place in (path.parent, *folder.parents, *elsewhere):
        for suffix in SUFFIXES:
            file = place / f"{name}{suffix}"
            if file.is_file():
                return file
    raise UserError(f"{path}: includes '{name}', and there is no file '{path.parent / name}'")


def _texts(value: Any, tree: Tree, key: str) -> list[str]:
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{tree.place((key,))}: {key}: expected a text or a list of texts")
    return names


def _override(tree: Tree, dotted: str, value: Any, place: str) -> None:
    keys = tuple(dotted.rstrip("+-~").split("."))
    if dotted.endswith("~"):
        raise UserError(
            f"{place}: override of '{dotted}': changes inside named lists are not understood; write them out"
        )
    before = _value(tree, keys)
    if dotted.endswith("+"):
        value = [*(before or []), *(value if isinstance(value, list) else [value])]
    elif dotted.endswith("-"):
        unwanted = value if isinstance(value, list) else [value]
        kept = before.items() if isinstance(before, dict) else before or []
        if isinstance(before, dict):
            value = {key: item for key, item in kept if key not in unwanted}
        else:
            value = [item for item in kept if item not in unwanted]
    tree.assign(keys, value, place)


def _value(tree: Tree, keys: tuple[str, ...]) -> Any:
    here: Any = tree.values
    for key in keys:
        here = here.get(key) if isinstance(here, dict) else None
    return here


def _remove(tree: Tree, keys: tuple[str, ...]) -> None:
    holder = _value(tree, keys[:-1]) if keys[:-1] else tree.values
    if isinstance(holder, dict):
        holder.pop(keys[-1], None)
