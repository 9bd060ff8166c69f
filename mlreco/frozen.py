"""Immutable mappings and lists, in which all parts of the program receive their configuration."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NoReturn

from mlreco.errors import nearest


def _refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
    raise TypeError("a configuration cannot be changed; work on a copy: to_dict()")


class FrozenDict(dict):
    """A dictionary with string keys that are also attributes, and without a way to change it.

    Nested mappings and lists are frozen too. `copy.deepcopy` and `to_dict` give an ordinary dictionary.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__((key, freeze(value)) for key, value in values.items())

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"no configuration key '{name}'{nearest(name, map(str, self))}")

    def to_dict(self) -> dict[str, Any]:
        """Return an ordinary, deep copy."""
        return thaw(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return thaw(self)

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[Any, ...]]:
        return FrozenDict, (thaw(self),)

    __setattr__ = __delattr__ = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse
    copy = __copy__


class FrozenList(list):
    """A list without a way to change it; a copy or a slice of it is an ordinary list of frozen items."""

    def __init__(self, values: list[Any] | tuple[Any, ...]) -> None:
        super().__init__(freeze(value) for value in values)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return thaw(self)

    def __reduce__(self) -> tuple[type[FrozenList], tuple[list[Any]]]:
        return FrozenList, (thaw(self),)

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse


def freeze(value: Any) -> Any:
    """Return a value with every mapping, list and tuple in it replaced by an immutable copy."""
    if isinstance(value, Mapping):
        return FrozenDict(value)
    if isinstance(value, list | tuple):
        return FrozenList(value)
    return copy.deepcopy(value)


def thaw(value: Any) -> Any:
    """Return a value with every mapping and list in it replaced by an ordinary copy."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return copy.deepcopy(value)
