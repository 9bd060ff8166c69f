"""The name of :mod:`mlreco.sparse` before it stood on its own, for code that was written then."""

from mlreco.sparse import NormActivation, SparseConv3d, SparseConvTensor, SparseInverseConv3d, SubMConv3d

__all__ = ["NormActivation", "SparseConv3d", "SparseConvTensor", "SparseInverseConv3d", "SubMConv3d"]
