"""The sparse image for the networks from a batch of voxels."""

from __future__ import annotations

import torch

from mlreco.devices import upload
from mlreco.sparse import SparseConvTensor, padded_shape
from mlreco.voxels import VoxelBatch

INPUT_FEATURES = 4
"""Normalised x, y, z and the charge."""


def normalised_coordinates(voxels: VoxelBatch) -> torch.Tensor:
    """Return (x - L/2) / (L/2) of every voxel, L the size of its own image (II.1 of arXiv:2007.03083).

    Returns:
        (N, 3) float32 in [-1, 1].
    """
    shapes = torch.tensor([meta.shape for meta in voxels.metas], dtype=torch.float32).reshape(-1, 3)
    half = upload(shapes, voxels.features.device).index_select(0, voxels.coordinates[:, 0]) / 2
    return (voxels.coordinates[:, 1:].to(torch.float32) - half) / half


def sparse_image(voxels: VoxelBatch, depth: int) -> SparseConvTensor:
    """Return the image with features x, y, z (normalised) and charge (the first feature column, MeV).

    Args:
        voxels: the batch; its rows stay the image's rows.
        depth: levels of the deepest network that will take the image.
    """
    features = torch.cat([normalised_coordinates(voxels), voxels.features[:, :1]], dim=1)
    shape = padded_shape(voxels.spatial_shape, depth)
    # The readers have checked the voxels; checking them again on a device would wait for the device.
    image_of = SparseConvTensor.trusted if voxels.coordinates.is_cuda else SparseConvTensor
    return image_of(features, voxels.coordinates, shape, voxels.batch_size)
