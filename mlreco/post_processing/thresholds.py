"""Thresholds of the greedy clusterer by class name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mlreco.errors import UserError, nearest
from mlreco.semantics import ClassScheme


class Thresholds(NamedTuple):
    """Thresholds of one class.

    Attributes:
        seed: s0, the lowest seediness of a seed, in [0, 1].
        probability: p0, above which a voxel joins a seed, in [0, 1).
    """

    seed: float
    probability: float


PUBLISHED = {
    "HIP": Thresholds(0.65, 0.29),
    "MIP": Thresholds(0.5, 0.087),
    "Shower": Thresholds(0.25, 0.036),
    "Delta": Thresholds(0.85, 0.27),
    "Michel": Thresholds(0.0, 0.087),
}
"""Table II of Koh et al. 2020, tuned on that paper's network."""

STAND_INS = {"Track": "MIP", "LowE": "Shower"}
"""Classes that the paper does not have -> the class whose thresholds they get by default."""


def read_thresholds(path: str | Path, scheme: ClassScheme) -> dict[str, Thresholds]:
    """Return the thresholds of every class of a scheme from a YAML file as ``mlreco tune`` writes it.

    Args:
        path: file that maps class names to ``{seed: s0, probability: p0}``; classes may be left out.
        scheme: the classes.

    Raises:
        UserError: the file cannot be read, or what ``resolve_thresholds`` refuses; the message names the file.
    """
    try:
        given: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"thresholds file {path}: cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        raise UserError(f"thresholds file {path}: no valid YAML: {error}") from error
    if not isinstance(given, Mapping):
        raise UserError(f"thresholds file {path}: lines such as 'MIP: {{seed: 0.5, probability: 0.1}}' are needed")
    try:
        return resolve_thresholds(given, scheme)
    except UserError as error:
        raise UserError(f"thresholds file {path}: {error}") from error


def resolve_thresholds(
    given: Mapping[str, Mapping[str, float]] | str | None, scheme: ClassScheme
) -> dict[str, Thresholds]:
    """Return the thresholds of every class of a scheme: those given, the published ones for the rest.

    Args:
        given: class name -> ``{"seed": s0, "probability": p0}``, either of which may be left out; or the path of a
            file, see ``read_thresholds``.
        scheme: the classes.

    Raises:
        UserError: an unknown class or key, a value that is no number or out of range, or a class of the scheme that has
            neither a given nor a published value.
    """
    if isinstance(given, str):
        return read_thresholds(given, scheme)
    given = given or {}
    for name, values in given.items():
        scheme.number(name)
        if not isinstance(values, Mapping):
            raise UserError(f"thresholds of {name} are {values!r}; write {{seed: 0.5, probability: 0.1}}")
        for key in values:
            if key not in Thresholds._fields:
                raise UserError(f"thresholds of {name}: no key '{key}'{nearest(key, Thresholds._fields)}")
    return {name: _of_class(name, given.get(name, {})) for name in scheme.classes}


def _of_class(name: str, given: Mapping[str, float]) -> Thresholds:
    default = PUBLISHED.get(STAND_INS.get(name, name))
    values = {**(default._asdict() if default else {}), **given}
    missing = [key for key in Thresholds._fields if key not in values]
    if missing:
        raise UserError(f"thresholds of class '{name}' lack '{missing[0]}', and nothing is published for that class")
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"thresholds of {name}: {key} is {value!r}; a number is needed")
    thresholds = Thresholds(float(values["seed"]), float(values["probability"]))
    if not 0 <= thresholds.seed <= 1:
        raise UserError(f"thresholds of {name}: seed is {thresholds.seed}; it lies in [0, 1]")
    if not 0 <= thresholds.probability < 1:
        raise UserError(f"thresholds of {name}: probability is {thresholds.probability}; it lies in [0, 1)")
    return thresholds
