"""Energy where two particles meet: voxels of which the class is in doubt are shared by the odds of their classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlreco.errors import UserError
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.meetings import find_meetings
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
    both = np.stack([children, parents[children]], axis=1)
    pairs = np.stack([both, both[:, ::-1]], axis=1).reshape(-1, 2)
    rows, found = find_meetings(voxels, pairs, REACH)
    others = pairs[found, 1]
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
