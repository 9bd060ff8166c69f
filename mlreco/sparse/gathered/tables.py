"""The sites of a U-Net at all its levels, and for each of them the rows that its convolutions add up.

All levels come from one sorted list of Morton codes. The host waits for the device once, for the numbers of sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlreco.sparse.gathered.kernels import kernels_for
from mlreco.sparse.gathered.parts import Ascent, Halving


@dataclass(frozen=True)
class Level:
    """The sites of one level.

    Attributes:
        indices: (n, 4) integers, batch index, x, y, z.
        neighbours: (n, 27) int32, row of the site at every offset of a 3x3x3 kernel, ``ABSENT`` where there is none.
        halving: from this level to the next, None for the last.
    """

    indices: Tensor
    neighbours: Tensor
    halving: Halving | None


def ascent_of(indices: Tensor, depth: int) -> Ascent:
    """Sort voxels by their codes.

    Raises:
        ValueError: a site occurs twice.
    """
    kernels = kernels_for(indices)
    voxels, order = torch.sort(kernels.codes_of(indices))
    codes, is_first = kernels.climbed(voxels, depth)
    sites = is_first.cumsum(1) - 1
    counts = [last + 1 for last in sites[:, -1].tolist()]  # the host waits
    if counts[0] < len(indices):
        batch, x, y, z = indices[order][~is_first[0]][0].tolist()
        raise ValueError(f"site ({x}, {y}, {z}) of image {batch} occurs more than once")
    return Ascent(order.int(), codes, sites, counts)


def levels_of(indices: Tensor, depth: int) -> list[Level]:
    """Return the levels of a batch of images.

    Args:
        indices: (N, 4) integers, batch index, x, y, z, within what `morton.fits`; N at least 1.
        depth: number of levels.

    Returns:
        The levels, the finest first: the rows of that are those given, those of the others are in the order of their
        codes.

    Raises:
        ValueError: a site occurs twice.
    """
    ascent, kernels = ascent_of(indices, depth), kernels_for(indices)
    codes, sites, halvings = kernels.sites_and_halvings(ascent, indices)
    orders = [ascent.order, *[None] * (depth - 1)]
    neighbours = [kernels.neighbours(of_level, order) for of_level, order in zip(codes, orders, strict=True)]
    return [Level(*parts) for parts in zip([indices, *sites[1:]], neighbours, [*halvings, None], strict=True)]
