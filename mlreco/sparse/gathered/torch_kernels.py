"""Tables of rows and convolutions by table in plain torch, on any device, with gradients.

The reference for the compiled kernels, and the implementation where there is no Triton.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlreco.sparse.gathered import morton
from mlreco.sparse.gathered.parts import ABSENT, Affine, Ascent, Convolution, Halving, Part

MAX_BYTES = 2**28
"""Gathered features that are in memory at a time."""


codes_of = morton.codes_of


def climbed(voxels: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Return the (L, N) codes of voxels at every level, and whether one is the first of its site, (L, N) bool.

    Args:
        voxels: (N,) ascending codes.
        levels: L.
    """
    codes = morton.coarser(voxels, levels)
    is_first = torch.ones_like(codes, dtype=torch.bool)
    torch.ne(codes[:, 1:], codes[:, :-1], out=is_first[:, 1:])
    return codes, is_first


def sites_and_halvings(ascent: Ascent, indices: Tensor) -> tuple[list[Tensor], list[Tensor], list[Halving]]:
    """Return the (n,) codes and the (n, 4) sites of all levels, in the order of the codes, and their halvings."""
    batch, position = indices[ascent.order].split([1, 3], dim=1)
    codes, sites, halvings = [], [], []
    for level, count in enumerate(ascent.counts):
        codes.append(_one_each(ascent.sites[level], ascent.codes[level], count))
        sites.append(_one_each(ascent.sites[level], torch.cat([batch, position >> level], dim=1), count))
    for level in range(len(ascent.counts) - 1):
        halvings.append(_halving(ascent, level))
    return codes, sites, halvings


def _one_each(number: Tensor, values: Tensor, count: int) -> Tensor:
    """Return the value of every site of a level, from values that all voxels of a site have in common."""
    return values.new_empty((count, *values.shape[1:])).index_copy_(0, number, values)


def _halving(ascent: Ascent, level: int) -> Halving:
    fine, coarse = ascent.counts[level : level + 2]
    row = (ascent.order if level == 0 else ascent.sites[level]).long()
    parent, child = ascent.sites[level + 1], ascent.codes[level] & 7
    absent = row.new_full((8 * (fine + coarse),), ABSENT, dtype=torch.int32)
    children, parents = absent.split([8 * coarse, 8 * fine])
    children.index_copy_(0, parent * 8 + child, row.int())
    parents.index_copy_(0, row * 8 + child, parent.int())
    return Halving(children.view(coarse, 8), parents.view(fine, 8))


def neighbours(codes: Tensor, order: Tensor | None) -> Tensor:
    """Return the (n, 27) int32 rows of the neighbours.

    Args:
        codes: (n,) ascending.
        order: (n,) int32, row of each site, None where rows are in this order.
    """
    wanted = morton.neighbours(codes)
    found = torch.searchsorted(codes, wanted).clamp_(max=len(codes) - 1)
    rows = found.int() if order is None else order[found]
    table = torch.where(codes[found] == wanted, rows, ABSENT)
    return table if order is None else torch.empty_like(table).index_copy_(0, order.long(), table)


def product(source: Tensor, table: Tensor, weight: Tensor) -> Tensor:
    """Return the (m, Cout) sums of features times weight over the entries of a table's rows.

    Args:
        source: (n, Cin).
        table: (m, K) integers, rows of ``source``.
        weight: (K, Cin, Cout), of the same dtype.
    """
    padded = nn.functional.pad(source, (0, 0, 0, 1))
    rows = torch.where(table == ABSENT, len(source), table)
    flat = weight.reshape(-1, weight.shape[2])
    at_a_time = max(1, MAX_BYTES // (len(flat) * source.element_size()))
    parts = [
        padded.index_select(0, part.reshape(-1)).view(len(part), len(flat)) @ flat for part in rows.split(at_a_time)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def activate(features: Tensor, then: Affine, dtype: torch.dtype) -> Tensor:
    """Return (N, C) features after normalisation and activation, in a dtype."""
    return nn.functional.leaky_relu(torch.addcmul(then.shift, features, then.scale), then.slope).to(dtype)


def activated_convolution(source: Tensor, table: Tensor, layer: Convolution) -> Tensor:
    """Return a convolution after normalisation and activation, in the dtype of ``source``."""
    raw = product(source, table, layer.weight).float()
    return raw if layer.then is None else activate(raw, layer.then, source.dtype)


def convolution(
    source: Tensor,
    table: Tensor,
    layer: Convolution,
    dtype: torch.dtype,
    residual: Tensor | None = None,
    into: Part | None = None,
) -> Part:
    """Return a convolution, and the same after normalisation and activation.

    Args:
        source: (n, Cin), of the dtype of the weight.
        table: (m, K) rows of ``source``.
        layer: the weights.
        dtype: of the activated features.
        residual: (m, C) float32, added to the convolution after the shortcut.
        into: where results go, (m, Cout) each.
    """
    raw, shortcut = product(source, table, layer.weight).float(), layer.shortcut
    if residual is not None:
        raw = raw + (residual if shortcut is None else (residual.to(shortcut.dtype) @ shortcut).float())
    made = Part(raw, raw if layer.then is None else activate(raw, layer.then, dtype))
    return made if into is None else _written(made, into)


def copy_and_activation(features: Tensor, then: Affine, into: Part) -> None:
    """Write (m, C) float32 features, and the same after normalisation and activation."""
    _written(Part(features, activate(features, then, into.active.dtype)), into)


def _written(made: Part, into: Part) -> Part:
    into.raw.copy_(made.raw)
    into.active.copy_(made.active)
    return into
