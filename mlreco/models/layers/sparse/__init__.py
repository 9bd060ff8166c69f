"""Sparse convolutions: spconv's names and arguments, the engine chosen by the tensor's device."""

from mlreco.models.layers.sparse.convolutions import SparseConv3d, SparseConvolution, SparseInverseConv3d, SubMConv3d
from mlreco.models.layers.sparse.tensor import SparseConvTensor

__all__ = ["SparseConv3d", "SparseConvTensor", "SparseConvolution", "SparseInverseConv3d", "SubMConv3d"]
