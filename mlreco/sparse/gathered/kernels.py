"""Which kernels compute: Triton's on NVIDIA's devices where Triton can compile, torch's elsewhere."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from mlreco.sparse.gathered import torch_kernels
from mlreco.sparse.gathered.parts import Affine, Ascent, Convolution, Halving, Part
from mlreco.sparse.gathered.triton_needs import lacking_on


class Kernels(Protocol):
    """A module of kernels; :mod:`mlreco.sparse.gathered.torch_kernels` says what each returns."""

    def codes_of(self, indices: Tensor) -> Tensor:
        """Return the Morton codes of voxels."""

    def climbed(self, voxels: Tensor, levels: int) -> tuple[Tensor, Tensor]:
        """Return the codes of voxels at every level, and whether one is the first of its site."""

    def sites_and_halvings(self, ascent: Ascent, indices: Tensor) -> tuple[list[Tensor], list[Tensor], list[Halving]]:
        """Return codes and sites of all levels, and what lies between them."""

    def neighbours(self, codes: Tensor, order: Tensor | None) -> Tensor:
        """Return the rows of the neighbours of sites."""

    def activated_convolution(self, source: Tensor, table: Tensor, layer: Convolution) -> Tensor:
        """Return a convolution after normalisation and activation."""

    def convolution(
        self,
        source: Tensor,
        table: Tensor,
        layer: Convolution,
        dtype: torch.dtype,
        residual: Tensor | None = None,
        into: Part | None = None,
    ) -> Part:
        """Return a convolution, and the same after normalisation and activation."""

    def copy_and_activation(self, features: Tensor, then: Affine, into: Part) -> None:
        """Write features, and the same after normalisation and activation."""


def kernels_for(tensor: Tensor) -> Kernels:
    """Return the kernels for tensors of a device."""
    if lacking_on(tensor.device) is None:
        from mlreco.sparse.gathered import triton_kernels

        return triton_kernels
    return torch_kernels
