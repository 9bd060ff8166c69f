"""Which kernels compute: Triton's on CUDA devices where Triton can compile, torch's elsewhere."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from mlreco.sparse.gathered import torch_kernels
from mlreco.sparse.gathered.parts import Affine, Ascent, Convolution, Halving, Part


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


OLDEST_TRITON = (3, 6)
"""Oldest version whose compiled kernels are known to take the arguments that are given to them here."""


@lru_cache
def triton_compiles() -> bool:
    """Tell whether Triton is there, and the C compiler with which it makes what starts its kernels."""
    if importlib.util.find_spec("triton") is None:
        return False
    numbers = importlib.metadata.version("triton").split(".")[:2]
    if tuple(map(int, numbers)) < OLDEST_TRITON:
        return False
    return any(shutil.which(name) for name in (os.environ.get("CC", ""), "gcc", "cc", "clang") if name)


def kernels_for(tensor: Tensor) -> Kernels:
    """Return the kernels for tensors of a device."""
    if tensor.is_cuda and triton_compiles():
        from mlreco.sparse.gathered import triton_kernels

        return triton_kernels
    return torch_kernels
