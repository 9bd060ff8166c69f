"""Steps of the translation of a configuration, which keep the line of each key for messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlreco.config.merge import Tree
from mlreco.errors import UserError
from mlreco.yaml_reader import KeyPath

Tell = Callable[[str], None]
"""Takes a line for each key that has no effect."""

NO_EFFECT = "no effect in mlreco, ignored"


def get(tree: Tree, path: KeyPath, default: Any = None) -> Any:
    """Return the value at a key path, the default where there is none."""
    here: Any = tree.values
    for key in path:
        if not isinstance(here, dict) or key not in here:
            return default
        here = here[key]
    return here


def move(tree: Tree, old: KeyPath, new: KeyPath) -> None:
    """Give a value another key path; messages go on to name the lines where it was written."""
    place, folder = tree.place(old), tree.folder(old)
    within = {(*new, *path[len(old) :]): tree.places[path] for path in tree.places if path[: len(old)] == old}
    tree.assign(new, holder(tree, old).pop(old[-1]), place)
    tree.folders[new] = folder
    tree.places.update(within)


def drop(tree: Tree, path: KeyPath, tell: Tell, why: str = NO_EFFECT) -> None:
    """Remove a key and report it."""
    tell(f"{tree.place(path)}: {'.'.join(path)}: {why}")
    del holder(tree, path)[path[-1]]


def require(tree: Tree, path: KeyPath, value: Any, wanted: Any) -> None:
    """Refuse a value of a key that only has one here.

    Raises:
        UserError: it is another one.
    """
    if value != wanted:
        raise UserError(f"{tree.place(path)}: {'.'.join(path)}: is {value!r}; mlreco's networks have {wanted!r} only")


def holder(tree: Tree, path: KeyPath) -> Any:
    """Return the mapping that holds the last key of a path."""
    here: Any = tree.values
    for key in path[:-1]:
        here = here[key]
    return here
