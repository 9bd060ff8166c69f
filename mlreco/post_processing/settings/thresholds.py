"""Thresholds of the greedy clusterer by class name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlreco.errors import UserError
from mlreco.post_processing.settings.class_values import Given, class_values
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


def resolve_thresholds(given: Given, scheme: ClassScheme) -> dict[str, Thresholds]:
    """Return the thresholds of every class of a scheme: those given, the published ones for the rest.

    Args:
        given: class name -> ``{"seed": s0, "probability": p0}``, either of which may be left out; or the path of a
            file, as ``mlreco tune`` writes it.
        scheme: the classes.

    Raises:
        UserError: what ``class_values`` refuses, or a value out of range.
    """
    return class_values(given, scheme, Thresholds, PUBLISHED, _check)


def thresholds_of_file(info: Mapping[str, Any], scheme: ClassScheme) -> dict[str, Thresholds]:
    """Return the thresholds that an output file was clustered with, the published ones if by another clusterer.

    Args:
        info: attributes of the file.
        scheme: the classes.
    """
    used = json.loads(info.get("thresholds") or "{}")
    of_greedy = all(set(values) <= set(Thresholds._fields) for values in used.values())
    return resolve_thresholds(used if of_greedy else None, scheme)


def _check(name: str, thresholds: Thresholds) -> None:
    if not 0 <= thresholds.seed <= 1:
        raise UserError(f"thresholds of {name}: seed is {thresholds.seed}; it lies in [0, 1]")
    if not 0 <= thresholds.probability < 1:
        raise UserError(f"thresholds of {name}: probability is {thresholds.probability}; it lies in [0, 1)")
