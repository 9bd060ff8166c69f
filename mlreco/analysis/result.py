"""What an analysis returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlreco.analysis.statistics import Number


@dataclass(frozen=True)
class Result:
    """Numbers, a table and a figure.

    Attributes:
        title: headline of the figure.
        numbers: the results.
        columns: name -> (n,) values: what the figure shows, a row a particle or an event.
        draw: draws the figure into a ``matplotlib.figure.Figure``.
        note: explanation for the reader.
    """

    title: str
    numbers: list[Number]
    columns: dict[str, np.ndarray]
    draw: Callable[[Any], None]
    note: str = ""
