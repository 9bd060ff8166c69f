"""Thresholds of the linked clusterer by class name."""

from __future__ import annotations

import math
from numbers import Real
from typing import NamedTuple

from mlreco.errors import UserError
from mlreco.post_processing.settings.class_values import Given, class_values
from mlreco.semantics import ClassScheme


class LinkThresholds(NamedTuple):
    """Thresholds of one class.

    Attributes:
        voxel_distance: reach of a link in space, in voxels, above 0.
        embedding_distance: reach of a link in the embedding, above 0.
        join_distance: pieces whose mean embeddings are at most so far apart are joined, 0 or more.
        min_voxels: a piece with fewer voxels is given to the nearest larger one, 1 or more.
    """

    voxel_distance: float
    embedding_distance: float
    join_distance: float
    min_voxels: float


SHIPPED = {
    "HIP": LinkThresholds(20, 0.06, 0, 10),
    "MIP": LinkThresholds(12, 0.1, 0, 10),
    "Shower": LinkThresholds(1.8, 0.25, 0.3, 5),
    "Delta": LinkThresholds(3, 10, 0, 5),
    "Michel": LinkThresholds(1.8, 10, 0, 1),
}
"""Tuned on events without smeared charge, with the weights of ``config/thin.cfg``."""


def resolve_link_thresholds(given: Given, scheme: ClassScheme) -> dict[str, LinkThresholds]:
    """Return the thresholds of every class of a scheme: those given, ``SHIPPED`` for the rest.

    Args:
        given: class name -> name of a field of ``LinkThresholds`` -> number; or the path of a file, as ``mlreco tune
            --clusterer linked`` writes it.
        scheme: the classes.

    Raises:
        UserError: what ``class_values`` refuses, or a value out of range.
    """
    return class_values(given, scheme, LinkThresholds, SHIPPED, check_link_thresholds)


def check_link_thresholds(name: str, thresholds: LinkThresholds) -> None:
    """Refuse values out of range.

    Args:
        name: the class, for the message.
        thresholds: its values.

    Raises:
        UserError: no number, a distance that is not positive and finite (a join distance may be 0), or fewer than one
            voxel.
    """
    for key, value in thresholds._asdict().items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise UserError(f"thresholds of {name}: {key} is {value!r}; a number is needed")
        number = float(value)
        above = number >= 0 if key == "join_distance" else number > 0
        if not (above and math.isfinite(number)):
            least = "0 or more" if key == "join_distance" else "above 0"
            raise UserError(f"thresholds of {name}: {key} is {number:g}; a finite number {least} is needed")
    if thresholds.min_voxels < 1:
        raise UserError(f"thresholds of {name}: min_voxels is {thresholds.min_voxels:g}; it is 1 or more")
