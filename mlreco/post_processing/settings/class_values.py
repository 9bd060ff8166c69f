"""Values of a clusterer by class name: read from a configuration or a file, checked, completed with defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from mlreco.errors import UserError, nearest
from mlreco.post_processing.settings.values_file import read_mapping
from mlreco.semantics import ClassScheme

T = TypeVar("T", bound=NamedTuple)
Given = Mapping[str, Mapping[str, float]] | str | None
GivenApart = Given | Mapping[str, Given]
"""Values for all events, or ``{predicted_classes: ..., true_classes: ...}``."""

IN_PREDICTED, IN_TRUE = "predicted_classes", "true_classes"
"""Keys of values for events that were clustered in predicted and in true classes."""

STAND_INS = {"Track": "MIP", "LowE": "Shower"}
"""Classes for which there are no default values -> the class whose values they get."""


def class_values(
    given: Given, scheme: ClassScheme, kind: type[T], defaults: Mapping[str, T], check: Callable[[str, T], None]
) -> dict[str, T]:
    """Return the values of every class of a scheme: those given, the defaults for the rest.

    Args:
        given: class name -> name of a value -> number, any of which may be left out; or the path of a YAML file with
            such a mapping, as ``mlreco tune`` writes it.
        scheme: the classes.
        kind: what the values of a class are.
        defaults: class name -> values.
        check: raises for values out of range; called with the name of the class.

    Raises:
        UserError: the file cannot be read; an unknown class or key, a value that is no number or out of range, or a
            class of the scheme that has neither a given nor a default value.
    """
    if isinstance(given, str):
        title = f"thresholds file {given}"
        read = read_mapping(given, title, f"MIP: {{{_example(kind)}}}")
        try:
            return class_values(read, scheme, kind, defaults, check)
        except UserError as error:
            raise UserError(f"{title}: {error}") from error
    given = given or {}
    for name, values in given.items():
        scheme.number(name)
        if not isinstance(values, Mapping):
            raise UserError(f"thresholds of {name} are {values!r}; write {{{_example(kind)}}}")
        for key in values:
            if key not in kind._fields:
                raise UserError(f"thresholds of {name}: no key '{key}'{nearest(str(key), kind._fields)}")
    found = {}
    for name in scheme.classes:
        default = defaults.get(STAND_INS.get(name, name))
        found[name] = _of_class(name, {**(default._asdict() if default else {}), **given.get(name, {})}, kind)
        check(name, found[name])
    return found


def _of_class(name: str, values: Mapping[str, float], kind: type[T]) -> T:
    missing = [key for key in kind._fields if key not in values]
    if missing:
        raise UserError(f"thresholds of class '{name}' lack '{missing[0]}', and nothing is published for that class")
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"thresholds of {name}: {key} is {value!r}; a number is needed")
    return kind._make(float(values[key]) for key in kind._fields)


def given_in(given: GivenApart, in_true_classes: bool) -> Any:
    """Return the values for events that were clustered in predicted or in true classes, as ``class_values`` takes them.

    Args:
        given: as in ``class_values``, or such for either.
        in_true_classes: which of them.

    Raises:
        UserError: only one of them is given.
    """
    if not isinstance(given, Mapping) or not given.keys() & {IN_PREDICTED, IN_TRUE}:
        return given
    if given.keys() != {IN_PREDICTED, IN_TRUE}:
        raise UserError(f"thresholds have the keys {', '.join(given)}; give {IN_PREDICTED} and {IN_TRUE}, or classes")
    return given[IN_TRUE if in_true_classes else IN_PREDICTED]


def keys_of(given: Given) -> set[str]:
    """Return the names of all values that are given, of whatever class.

    Args:
        given: as in ``class_values``.

    Raises:
        UserError: the file cannot be read.
    """
    if isinstance(given, str):
        given = read_mapping(given, f"thresholds file {given}", "MIP: {name: 0.5}")
    return {str(key) for values in (given or {}).values() if isinstance(values, Mapping) for key in values}


def _example(kind: type[NamedTuple]) -> str:
    return ", ".join(f"{key}: 0.5" for key in kind._fields)
