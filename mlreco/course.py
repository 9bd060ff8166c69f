"""Numbers that depend on the iteration of a training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Course:
    """A number by iteration: interpolated linearly between points, and constant before the first and after the last.

    Attributes:
        iterations: (P,) rising numbers of completed iterations.
        values: (P,) the number at each.
    """

    iterations: tuple[int, ...]
    values: tuple[float, ...]

    @classmethod
    def of(cls, value: Any) -> Course:
        """Return the course that a configuration gives: a number, or ``[[iteration, number], ...]``.

        Raises:
            ValueError: it is neither.
        """
        if _is_number(value):
            return cls((0,), (float(value),))
        points = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
        if not points or not all(isinstance(point, Sequence) and len(point) == 2 for point in points):
            raise ValueError(f"expected a number or a list of [iteration, number], not {value!r}")
        if not all(_is_number(number) for point in points for number in point):
            raise ValueError(f"expected numbers in the pairs [iteration, number], not {value!r}")
        iterations = [point[0] for point in points]
        if any(number < 0 or number != int(number) for number in iterations):
            raise ValueError(f"expected whole iterations of at least 0, not {iterations}")
        if any(later <= earlier for earlier, later in itertools.pairwise(iterations)):
            raise ValueError(f"expected rising iterations, not {iterations}")
        return cls(tuple(map(int, iterations)), tuple(float(point[1]) for point in points))

    def at(self, iterations: np.ndarray | int) -> np.ndarray:
        """Return the number after so many completed iterations, of the shape of ``iterations``."""
        return np.asarray(np.interp(iterations, self.iterations, self.values))

    @property
    def least(self) -> float:
        """The smallest number that occurs."""
        return min(self.values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
