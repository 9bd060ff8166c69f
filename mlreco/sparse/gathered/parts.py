"""What the kernels of this engine take and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

ABSENT = -1
"""Row of a site that is not there."""


class Affine(NamedTuple):
    """Normalisation with running statistics, and the slope of LeakyReLU below zero.

    Attributes:
        scale, shift: (C,) float32.
        slope: of the activation.
    """

    scale: Tensor
    shift: Tensor
    slope: float


class Convolution(NamedTuple):
    """The weights of a convolution, and what is done with its output.

    Attributes:
        weight: (K, Cin, Cout), in the dtype of the product.
        shortcut: (C, Cout), by which what is added to the output is multiplied before; None for 1.
        then: normalisation and activation of the next layer; None for none.
    """

    weight: Tensor
    shortcut: Tensor | None
    then: Affine | None


class Part(NamedTuple):
    """Features of all rows.

    Attributes:
        raw: (N, C) float32, as they are.
        active: (N, C) after the normalisation and activation of the next layer, in the dtype of its product.
    """

    raw: Tensor
    active: Tensor


class Ascent(NamedTuple):
    """Voxels in the order of their codes, and the sites that they belong to at every level.

    Attributes:
        order: (N,) int32, row of each voxel.
        codes: (L, N) int64, code of its site at every level.
        sites: (L, N) int64, number of its site, counted in the order of the codes.
        counts: number of sites at every level; those of the first are the voxels.
    """

    order: Tensor
    codes: Tensor
    sites: Tensor
    counts: Sequence[int]


class Halving(NamedTuple):
    """The rows of a convolution that halves the image, and of the one that undoes it.

    Attributes:
        children: (n_coarse, 8) int32, row of every child of a coarse site, ``ABSENT`` where there is none.
        parents: (n_fine, 8) int32, row of the coarse site that holds a fine one, in the column of its number as a
            child; ``ABSENT`` in the others.
    """

    children: Tensor
    parents: Tensor
