"""Tables as text."""

from __future__ import annotations

import math
from collections.abc import Sequence


def decimal(value: float, digits: int = 4) -> str:
    """Return a number with so many digits after the point, ``-`` for NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def aligned(names: Sequence[Sequence[str]], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of a table.

    Args:
        names: for each line its words that are set flush left.
        cells: for each line its words that are set flush right.
    """
    table = [[*name, *row] for name, row in zip(names, cells, strict=True)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    n_left = len(names[0])
    lines = []
    for words in table:
        left = [word.ljust(width) for word, width in zip(words[:n_left], widths[:n_left], strict=True)]
        right = [word.rjust(width) for word, width in zip(words[n_left:], widths[n_left:], strict=True)]
        lines.append("  ".join(left + right))
    return lines
