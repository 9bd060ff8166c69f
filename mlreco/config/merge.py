"""Merges the layers of a configuration: included files, the file itself, overrides of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlreco.errors import UserError
from mlreco.shipped import configurations
from mlreco.yaml_reader import KeyPath, read_file, read_mapping, read_value


@dataclass
class Tree:
    """Values of a configuration and where each came from.

    Attributes:
        values: nested mappings and lists.
        places: key path -> ``file:line`` or ``--set a.b=c``.
        folders: key path -> folder that relative paths of the value start from; None for overrides.
        source: name of the configuration, for keys without a place.
    """

    values: dict[str, Any]
    places: dict[KeyPath, str] = field(default_factory=dict)
    folders: dict[KeyPath, Path | None] = field(default_factory=dict)
    source: str = "configuration"

    def place(self, path: KeyPath) -> str:
        """Return where the value of a key path, or else the nearest mapping around it, was written."""
        return _closest(self.places, path, self.source)

    def folder(self, path: KeyPath) -> Path | None:
        """Return the folder of the file that a value was written in; none for overrides."""
        return _closest(self.folders, path, None)

    def overlay(self, other: Tree) -> None:
        """Write another tree over this one: mappings are merged, anything else is replaced.

        Where the other tree names another parser, optimiser or schedule, the ``args`` of the one before go with it.
        """
        self._merge(self.values, other.values, (), other)

    def _merge(self, into: dict[str, Any], values: Mapping[str, Any], path: KeyPath, other: Tree) -> None:
        for key, value in values.items():
            child = (*path, str(key))
            if isinstance(into.get(key), dict) and isinstance(value, dict):
                self._record(child, other)
                if "args" in into[key] and _names_another(into[key], value):
                    self._forget((*child, "args"))
                    del into[key]["args"]
                self._merge(into[key], value, child, other)
            else:
                self._forget(child)
                into[key] = value
                for origin in [p for p in other.places if p[: len(child)] == child] or [child]:
                    self._record(origin, other)

    def _forget(self, path: KeyPath) -> None:
        for table in (self.places, self.folders):
            for old in [p for p in table if p[: len(path)] == path]:
                del table[old]

    def _record(self, path: KeyPath, other: Tree) -> None:
        self.places[path] = other.place(path)
        folder = other.folder(path)
        if folder is not None:
            self.folders[path] = folder

    def override(self, assignment: str) -> None:
        """Apply one ``a.b=c`` of the command line.

        Raises:
            UserError: the text has no ``=``, the value is no YAML, or the path leads through something else than a
                mapping or list.
        """
        place = f"--set {assignment}"
        dotted, equals, text = assignment.partition("=")
        keys = tuple(dotted.strip().split("."))
        if not equals or not all(keys):
            raise UserError(f"{place}: an override has the form section.key=value")
        self.assign(keys, read_value(text, place) if text.strip() else "", place)

    def assign(self, keys: KeyPath, value: Any, place: str) -> None:
        """Set one value; sections on the way that are absent are made.

        Raises:
            UserError: the path leads through something else than a mapping or list.
        """
        into: Any = self.values
        for depth, key in enumerate(keys):
            last = depth == len(keys) - 1
            if isinstance(into, list):
                number = int(key) if key.isdigit() else len(into)
                if number >= len(into):
                    raise UserError(f"{place}: '{'.'.join(keys[:depth])}' is a list of {len(into)} items")
                step: Any = number
            elif isinstance(into, dict):
                step = key
            else:
                raise UserError(f"{place}: '{'.'.join(keys[:depth])}' is a value, not a section")
            if last:
                self._forget(keys)
                self.places[keys] = place
                self.folders[keys] = None
                into[step] = value
                return
            if isinstance(into, dict) and into.get(step) is None:
                into[step] = {}
                self.places[keys[: depth + 1]] = place
            into = into[step]


def _included(folder: Path, name: str) -> Path:
    """Return the file of an ``include``: beside the file that names it, or a shipped configuration by its name."""
    beside = folder / name
    return beside if beside.exists() else configurations().get(name, beside)


def _names_another(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Tell whether a block names another parser or class than the block under it does."""
    return any(key in after and key in before and after[key] != before[key] for key in ("parser", "name"))


def _closest(table: Mapping[KeyPath, Any], path: KeyPath, default: Any) -> Any:
    for length in range(len(path), 0, -1):
        if path[:length] in table:
            return table[path[:length]]
    return default


def read_tree(path: Path, within: Sequence[Path] = ()) -> Tree:
    """Read a configuration file and the files that it includes.

    Args:
        path: the file.
        within: files that include this one, to tell cycles.

    Raises:
        UserError: a file cannot be read, or includes itself.
    """
    return parse_tree(read_file(path), path, within)


def parse_tree(text: str, path: Path, within: Sequence[Path] = ()) -> Tree:
    """Build the tree of a YAML text; ``include`` in it is relative to the folder of `path`, as are other paths.

    An ``include`` may also be the name of a shipped configuration.
    """
    values, places = read_mapping(text, str(path))
    own = Tree(values, places, {(key,): path.parent for key in values}, str(path))
    include = values.pop("include", None)
    if include is None:
        return own
    names = [include] if isinstance(include, str) else include
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{own.place(('include',))}: include: expected a file name or a list of file names")
    here = path.resolve()
    tree = Tree({}, source=str(path))
    for name in names:
        base = _included(path.parent, name)
        if base.resolve() in [here, *within]:
            raise UserError(f"{own.place(('include',))}: include: '{name}' includes itself")
        if not base.exists():
            raise UserError(f"{own.place(('include',))}: include: no such file '{base}'")
        tree.overlay(read_tree(base, [here, *within]))
    tree.overlay(own)
    return tree
