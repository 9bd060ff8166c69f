"""Energy where two particles meet: voxels of which the class is in doubt are shared by the odds of their classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlreco.compiled import compiled
from mlreco.errors import UserError
from mlreco.particles.grouping import ParticleVoxels
from mlreco.semantics import ClassScheme

REACH = 1.5
"""Voxels up to this distance from those of the other particle may be of either, cm."""


def resolve_class_bias(given: Mapping[str, float] | None, scheme: ClassScheme) -> np.ndarray | None:
    """Return by what factor the odds of each class are too high, (C,) float64; None where nothing is given.

    Args:
        given: class name -> logarithm of the factor; 0 for the rest.
        scheme: the classes.

    Raises:
        UserError: an unknown class, or a value that is no finite number.
    """
    if given is None:
        return None
    logarithms = np.zeros(len(scheme))
    for name, value in given.items():
        number = scheme.number(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise UserError(f"class_bias.{name} is {value!r}; a finite number is needed")
        logarithms[number] = value
    return np.exp(logarithms)


def expected_energies(
    voxels: ParticleVoxels, parents: np.ndarray, classes: np.ndarray, scores: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Return the energy of each particle, (K,) MeV, with voxels near its parent or child counted by probability.

    A voxel of a particle within `REACH` of the parent or of a child is of one of these with the probabilities of their
    classes: its scores over the bias, which sum to 1 over the particles in question. The sum over all particles is that
    of their voxels.

    Args:
        voxels: K particles.
        parents: (K,) place of the particle out of which each came; -1 for none.
        classes: (K,) class numbers; a particle of an unknown class shares nothing.
        scores: (N, C) probabilities of the classes, on the rows of the image.
        bias: (C,) by what factor they are too high.
    """
    known = (classes >= 0) & (classes < len(bias))
    children = np.flatnonzero((parents >= 0) & known)
    children = children[known[parents[children]] & (classes[children] != classes[parents[children]])]
    energies = np.bincount(voxels.owners, voxels.energies, len(voxels))
    rows, others = _meetings(voxels.positions, voxels.starts, children, parents[children], REACH)
    if not len(rows):
        return energies
    doubtful, place = np.unique(rows, return_inverse=True)
    odds = scores[voxels.rows[doubtful]].astype(np.float64) / bias
    owners = voxels.owners[doubtful]
    of_owner = odds[np.arange(len(doubtful)), classes[owners]]
    of_other = odds[place, classes[others]]
    total = of_owner + np.bincount(place, of_other, len(doubtful))
    given = voxels.energies[rows] * of_other / np.where(total > 0, total, 1.0)[place]
    energies += np.bincount(others, given, len(voxels))
    return energies - np.bincount(owners[place], given, len(voxels))


@compiled
def _meetings(
    positions: np.ndarray, starts: np.ndarray, children: np.ndarray, parents: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of children and parents within reach of the other, and the places of the others.

    The voxels of a particle are in the order of x.
    """
    rows, others = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    for k in range(len(children)):
        for side in range(2):
            one, other = (children[k], parents[k]) if side == 0 else (parents[k], children[k])
            begin, end = starts[one], starts[one + 1]
            first, last = starts[other], starts[other + 1]
            low, high = _box(positions, first, last)
            begin += np.searchsorted(positions[begin:end, 0], low[0] - reach)
            near = first
            for i in range(begin, end):
                if positions[i, 0] > high[0] + reach:
                    break
                while positions[near, 0] < positions[i, 0] - reach and near < last - 1:
                    near += 1
                if _outside(positions, i, low, high, reach):
                    continue
                if _meets(positions, i, near, last, reach):
                    rows.append(np.int64(i))
                    others.append(other)
    return np.array(rows, np.int64), np.array(others, np.int64)


@compiled
def _box(positions: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    low, high = positions[first].copy(), positions[first].copy()
    for j in range(first + 1, last):
        for axis in range(3):
            low[axis] = min(low[axis], positions[j, axis])
            high[axis] = max(high[axis], positions[j, axis])
    return low, high


@compiled
def _outside(positions: np.ndarray, i: int, low: np.ndarray, high: np.ndarray, reach: float) -> bool:
    outside = False
    for axis in range(3):
        outside |= positions[i, axis] < low[axis] - reach or positions[i, axis] > high[axis] + reach
    return outside


@compiled
def _meets(positions: np.ndarray, i: int, near: int, last: int, reach: float) -> bool:
    """Whether one of the voxels from ``near`` to ``last``, in the order of x, is within reach of voxel i."""
    for j in range(near, last):
        if positions[j, 0] > positions[i, 0] + reach:
            return False
        square = 0.0
        for axis in range(3):
            square += (positions[j, axis] - positions[i, axis]) ** 2
        if square <= reach * reach:
            return True
    return False
