"""Products whose rows are not those of the input voxels, with a number of rows for each event."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class EventRows:
    """Rows of several events, event after event.

    Attributes:
        values: (R, ...) tensor.
        counts: number of rows of each event, zeros included.
    """

    values: torch.Tensor
    counts: tuple[int, ...]
