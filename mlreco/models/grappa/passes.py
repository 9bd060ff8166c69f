"""Steps of the message passing in one pass over memory, compiled: for a CPU without gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mlreco.compiled import compiled
from mlreco.sparse import is_own

CHANNELS = 8
"""Channels of the state of a pair that have one weight."""
_ORDER_IS_FREE = {"contract", "reassoc", "nsz"}
"""Sums over channels may be added up in vectors."""


def can_pass(values: Tensor, *norms: nn.Module) -> bool:
    """Tell whether these functions may be called: no gradients, float32 on a CPU, and nobody watches the norms."""
    return (
        not torch.is_grad_enabled()
        and values.is_cpu
        and values.dtype == torch.float32
        and all(is_own(norm, nn.LayerNorm) and norm.weight.dtype == torch.float32 for norm in norms)
    )


def heard(hidden: Tensor, larger: Tensor, smaller: Tensor, edges: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Return relu(norm(hidden + larger[edges[:, 0]] + smaller[edges[:, 1]])), written over ``hidden``.

    Args:
        hidden: (E, C) float32 of pairs.
        larger: (F, C) float32 of fragments, for the pairs in which they are the larger one.
        smaller: (F, C) float32 likewise.
        edges: (E, 2) int64 rows of ``larger`` and of ``smaller``.
        norm: over C channels.
    """
    sides = _array(larger), _array(smaller), _array(edges)
    _hear(_array(hidden), *sides, _array(norm.weight), _array(norm.bias), np.float32(norm.eps))
    return hidden


def _array(tensor: Tensor) -> np.ndarray:
    """Return the numbers of a tensor on the CPU, without a copy."""
    return tensor.detach().numpy()


@compiled(fastmath=_ORDER_IS_FREE)
def _hear(
    hidden: np.ndarray,
    larger: np.ndarray,
    smaller: np.ndarray,
    edges: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    epsilon: np.float32,
) -> None:
    rows, width = hidden.shape
    zero, one, count = np.float32(0), np.float32(1), np.float32(width)
    for row in range(rows):
        a, b = edges[row, 0], edges[row, 1]
        total, squared = zero, zero
        for c in range(width):
            value = hidden[row, c] + larger[a, c] + smaller[b, c]
            hidden[row, c] = value
            total += value
        mean = total / count
        for c in range(width):
            step = hidden[row, c] - mean
            squared += step * step
        factor = one / np.sqrt(squared / count + epsilon)
        for c in range(width):
            hidden[row, c] = max((hidden[row, c] - mean) * factor * scale[c] + shift[c], zero)


def told(links: Tensor, weights: Sequence[Tensor], edges: Tensor, count: int, least: float) -> tuple[Tensor, ...]:
    """Return for both sides, one after the other, what the fragments hear of their pairs.

    Args:
        links: (E, heads * CHANNELS) float32 of pairs.
        weights: of each side, (E, heads) float32 above 0.
        edges: (E, 2) int64 fragments.
        count: number of fragments.
        least: added to the sums of weights.

    Returns:
        of each side (count, heads * CHANNELS) weighted means, 0 without pairs, and (count, heads) logarithms of the
        sums of the weights.
    """
    sums = links.new_zeros(2, count, links.shape[1])
    totals = links.new_zeros(2, count, weights[0].shape[1])
    of_larger, of_smaller = weights
    sides = _array(of_larger), _array(of_smaller), _array(edges)
    _tell(_array(links), *sides, _array(sums), _array(totals), np.float32(least))
    return sums[0], totals[0].log_(), sums[1], totals[1].log_()


@compiled(fastmath=_ORDER_IS_FREE)
def _tell(
    links: np.ndarray,
    of_larger: np.ndarray,
    of_smaller: np.ndarray,
    edges: np.ndarray,
    sums: np.ndarray,
    totals: np.ndarray,
    least: np.float32,
) -> None:
    heads = totals.shape[2]
    for row in range(len(edges)):
        a, b = edges[row, 0], edges[row, 1]
        for h in range(heads):
            one, other = of_larger[row, h], of_smaller[row, h]
            totals[0, a, h] += one
            totals[1, b, h] += other
            for c in range(h * CHANNELS, h * CHANNELS + CHANNELS):
                sums[0, a, c] += one * links[row, c]
                sums[1, b, c] += other * links[row, c]
    for side in range(2):
        for node in range(totals.shape[1]):
            for h in range(heads):
                totals[side, node, h] += least
                for c in range(h * CHANNELS, h * CHANNELS + CHANNELS):
                    sums[side, node, c] /= totals[side, node, h]
