"""Which kernels compute: Triton's on NVIDIA's devices where Triton can compile, torch's elsewhere."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sysconfig
from functools import lru_cache
from pathlib import Path
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


OLDEST_DEVICE = (8, 0)
"""Oldest compute capability that Triton supports (Ampere)."""


@lru_cache
def triton_compiles() -> bool:
    """Tell whether Triton is there, and a C compiler and Python's headers, with which it makes what starts kernels."""
    try:
        numbers = importlib.metadata.version("triton").split(".")[:2]
    except importlib.metadata.PackageNotFoundError:
        return False
    if tuple(map(int, numbers)) < OLDEST_TRITON:
        return False
    compilers = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    scheme = sysconfig.get_default_scheme()
    scheme = "posix_prefix" if scheme == "posix_local" else scheme  # Debian's headers are not where its packages are
    headers = Path(sysconfig.get_path("include", scheme))
    return any(map(shutil.which, compilers)) and (headers / "Python.h").is_file()


@lru_cache
def triton_serves(device: torch.device) -> bool:
    """Tell whether Triton's kernels run on a device: one of NVIDIA that Triton supports."""
    if device.type != "cuda" or torch.version.cuda is None or not triton_compiles():
        return False
    return torch.cuda.get_device_capability(device) >= OLDEST_DEVICE


def kernels_for(tensor: Tensor) -> Kernels:
    """Return the kernels for tensors of a device."""
    if triton_serves(tensor.device):
        from mlreco.sparse.gathered import triton_kernels

        return triton_kernels
    return torch_kernels
