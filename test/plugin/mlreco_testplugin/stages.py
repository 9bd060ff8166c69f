"""A stage: scales the charge of every voxel by a learned number."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mlreco.models.stage import StageLoss
from mlreco.semantics import ClassScheme


class BrightnessLoss(StageLoss):
    """Mean square of the distance from a target."""

    def __init__(self, class_scheme: ClassScheme, target: float = 1.0) -> None:
        super().__init__()
        self.target = target

    def forward(self, products: Mapping[str, Any], labels: Any) -> dict[str, torch.Tensor]:
        return {"loss": ((products["brightness"] - self.target) ** 2).mean()}


class Brightness(nn.Module):
    """Provides ``brightness``, (N,)."""

    requires: tuple[str, ...] = ("image",)
    provides: tuple[str, ...] = ("brightness",)
    Loss: type[StageLoss] = BrightnessLoss
    depth = 1

    def __init__(self, class_scheme: ClassScheme, start: float = 2.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(start))

    def forward(self, products: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        return {"brightness": self.scale * products["image"].features[:, -1]}
