"""Batch normalisation over the voxels of all processes that train together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlreco.errors import UserError
from mlreco.sparse import VoxelBatchNorm


class _Total(torch.autograd.Function):
    """The sum of a tensor over the processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Total.apply(gradient)  # so that its gradient has a gradient, too


class SyncedNorms:
    """The normalisations of a network, which add up statistics over processes in the forward and the backward pass.

    Every process has to call them in the same order. A process without events makes the pass with other events that do
    not count (:meth:`uncounted`), and the backward pass has to go through all layers (:meth:`tie`).

    Args:
        network: its normalisations are changed.

    Raises:
        UserError: it has normalisations of another kind.
    """

    def __init__(self, network: nn.Module) -> None:
        self._counts = True
        self._totals: list[Tensor] = []
        self._norms: list[VoxelBatchNorm] = []
        for name, module in network.named_modules():
            if isinstance(module, VoxelBatchNorm):
                module.meeting = self
                self._norms.append(module)
            elif isinstance(module, _BatchNorm):
                kind = type(module).__name__
                raise UserError(f"trainval.sync_batch_norm: '{name}' is a {kind}; only VoxelBatchNorm can do it")

    def total(self, sums: Tensor) -> Tensor:
        """Return the sum of a (K,) float64 tensor over the processes."""
        total = _Total.apply(sums if self._counts else 0.0 * sums)
        if torch.is_grad_enabled():
            self._totals.append(total)
        return total

    @contextlib.contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave the voxels of a pass out of the statistics."""
        self._counts = False
        try:
            yield
        finally:
            self._counts = True

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Normalise over the voxels of each process alone."""
        for norm in self._norms:
            norm.meeting = None
        try:
            yield
        finally:
            for norm in self._norms:
                norm.meeting = self

    def tie(self, products: Mapping[str, Any]) -> Tensor:
        """Return a 0 that depends on every product and every total, so that the backward pass goes through all of them.

        Args:
            products: of the network in the pass that has just been made.
        """
        outputs = [value for value in products.values() if isinstance(value, Tensor) and value.requires_grad]
        parts = [value.sum() for value in [*outputs, *self._totals]]
        self._totals = []
        return 0.0 * torch.stack([part.double() for part in parts]).sum().float()
