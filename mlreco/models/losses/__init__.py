"""Losses: of semantic segmentation and of SPICE."""

from mlreco.models.losses.masks import MASK_LOSSES
from mlreco.models.losses.segmentation import SegmentationLoss
from mlreco.models.losses.spice import SpiceLoss

__all__ = ["MASK_LOSSES", "SegmentationLoss", "SpiceLoss"]
