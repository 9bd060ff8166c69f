"""Images of particles that are drawn, not simulated: lines with a known energy per length."""

import numpy as np

from mlreco.particles.csda import kinetic_energy
from mlreco.particles.image import LabelledImage
from mlreco.semantics import PILARNET

VOXEL = 0.3
SHAPE = (512, 512, 512)
ORIGIN = (-76.8, -76.8, -76.8)
STEP = 0.01


def line(start, direction, length):
    """Points 0.1 mm apart, (n, 3), and the path length at each."""
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    travelled = np.arange(STEP / 2, length, STEP)
    return np.asarray(start, float) + travelled[:, None] * direction, travelled


def stopping_energies(travelled, length, particle):
    """Energy left in each step by a particle that stops at the end."""
    left = np.clip(length - travelled, STEP / 2, None)
    return kinetic_energy(left + STEP / 2, particle) - kinetic_energy(left - STEP / 2, particle)


def shower(start, direction, energy, seed):
    """A cartoon of a photon: a trunk that ionises twice, then branches that spread about the axis."""
    rng = np.random.default_rng(seed)
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    trunk, _ = line(start, direction, 4)
    parts = [(trunk, np.full(len(trunk), 4.2 * STEP))]
    left = energy - 4.2 * 4
    while left > 0:
        depth, aside = 4 + rng.exponential(9), rng.normal(size=3)
        begin = np.asarray(start) + depth * direction + 0.04 * depth * aside
        branch, _ = line(begin, direction + 0.25 * rng.normal(size=3), rng.uniform(1, 4))
        parts.append((branch, np.full(len(branch), 2.1 * STEP)))
        left -= 2.1 * STEP * len(branch)
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def voxelise(points, energies, voxel=VOXEL, origin=ORIGIN):
    """Sorted voxel numbers (n, 3) and energies."""
    cells = np.floor((points - np.asarray(origin)) / voxel).astype(np.int64)
    unique, number = np.unique(cells, axis=0, return_inverse=True)
    return unique, np.bincount(number.ravel(), energies)


def image_of(*particles, voxel=VOXEL):
    """Image of (points, energies, class name) of each particle; a voxel belongs to the last that enters it."""
    columns = []
    for number, (points, values, name) in enumerate(particles):
        cells, energy = voxelise(points, values, voxel)
        columns.append((cells, energy, np.full(len(cells), PILARNET.number(name)), np.full(len(cells), number)))
    cells, energies, semantics, instances = (np.concatenate(column)[::-1] for column in zip(*columns, strict=True))
    unique, keep, number = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    size = (voxel,) * 3 if np.isscalar(voxel) else tuple(voxel)
    summed = np.bincount(number.ravel(), energies)
    return LabelledImage(PILARNET, unique, semantics[keep], instances[keep], summed, ORIGIN, size, SHAPE)


def scene():
    """A muon that stops with its Michel electron, a proton from the same vertex, and a track elsewhere."""
    muon, travelled = line((0, 0, 0), (1, 0.4, 0.2), 40)
    michel, _ = line(muon[-1], (-0.2, 1, 0.3), 8)
    proton, far = line((0, 0, 0), (-0.6, 0.5, 0.9), 12)
    other, on = line((-50, 40, -30), (0.1, 0.2, -1), 25)
    return image_of(
        (muon, stopping_energies(travelled, 40, "muon"), "MIP"),
        (proton, stopping_energies(far, 12, "proton"), "HIP"),
        (michel, np.linspace(1.9, 2.4, len(michel)) * STEP, "Michel"),
        (other, stopping_energies(on, 25, "muon"), "MIP"),
    )


def random_directions(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
