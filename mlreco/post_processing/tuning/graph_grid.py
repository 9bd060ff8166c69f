"""The grid of a search over the thresholds of the fragment graph."""

from __future__ import annotations

from typing import NamedTuple


class GraphGrid(NamedTuple):
    """Values of each threshold that are tried, all combinations of them; the fields are those of `GraphThresholds`."""

    merge: tuple[float, ...]
    attach: tuple[float, ...]
    small: tuple[float, ...]


GRID = GraphGrid(
    merge=(-5.0, -4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0),
    attach=(-20.0, -5.0, -4.0, -2.0, -1.0, 0.0),
    small=(1.0, 5.0, 8.0, 9.0, 10.0, 15.0, 20.0),
)

SWITCHED_OFF = {
    "attach": (-20.0, "small instances are given away in any case"),
    "small": (1.0, "no instance is given away"),
}
"""Value of a threshold at which it decides nothing, and what that means."""
