"""Which class a voxel goes to where two are nearly as probable."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mlreco.errors import UserError
from mlreco.semantics import ClassScheme


class ClassOffsets(nn.Module):
    """Adds a number to the logits of a class, but not in training (logit adjustment, Menon et al., arXiv:2007.07314).

    ``logits + offset`` multiplies the odds of a class by ``exp(offset)``: more voxels of a rare class are found, and
    more of the others are taken for it. In training the loss sees the logits as they are.

    Args:
        class_scheme: numbering of the classes.
        offsets: what is added, by class name; 0 where not given.

    Raises:
        UserError: an unknown class name, or an offset that is not finite.
    """

    offsets: Tensor

    def __init__(self, class_scheme: ClassScheme, offsets: Mapping[str, float] | None = None) -> None:
        super().__init__()
        values = torch.zeros(len(class_scheme))
        for name, offset in (offsets or {}).items():
            if not math.isfinite(offset):
                raise UserError(f"class_offsets.{name} is {offset}; a finite number is needed")
            values[class_scheme.number(name)] = offset
        self.register_buffer("offsets", values, persistent=False)
        self.none = not values.any()

    def forward(self, logits: Tensor) -> Tensor:
        """Return the (N, classes) logits by which a voxel's class is chosen."""
        return logits if self.training or self.none else logits + self.offsets.to(logits.dtype)
