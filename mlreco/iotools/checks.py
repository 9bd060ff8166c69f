"""Checks of a batch before a network sees it."""

from __future__ import annotations

import torch

from mlreco.errors import UserError
from mlreco.iotools.collate import Batch
from mlreco.iotools.dataset import LArCVDataset
from mlreco.voxels import VoxelBatch


def check_energies(batch: Batch, blob_name: str, dataset: LArCVDataset) -> None:
    """Refuse negative energies.

    Readers cannot do this: they do not know which image holds energies and which holds classes, where -1 is legal.

    Args:
        batch: a batch of ``dataset``.
        blob_name: schema key of the energies.
        dataset: where the batch is from, for the message.

    Raises:
        UserError: a feature is negative; names the file, the event and the first such voxel.
    """
    voxels: VoxelBatch = batch[blob_name]
    if not len(voxels) or voxels.features.min() >= 0:
        return
    row = int(torch.nonzero((voxels.features < 0).any(dim=1))[0])
    position, x, y, z = voxels.coordinates[row].tolist()
    value = voxels.features[row].min().item()
    where = dataset.describe(batch["index"][position])
    raise UserError(f"{where}: '{blob_name}': voxel ({x}, {y}, {z}) has the negative energy {value:.6g}")
