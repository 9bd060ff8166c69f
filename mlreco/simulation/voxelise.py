"""Deposits along lines become energies of voxels."""

from __future__ import annotations

import math

import numpy as np

from mlreco.compiled import compiled
from mlreco.iotools.interface import stable_order


@compiled
def cut_at_planes(
    starts: np.ndarray, ends: np.ndarray, energies: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut lines at the planes between voxels and share their energy by length.

    The walk is that of Amanatides and Woo (Eurographics 1987): from plane to plane along the axis whose next one is
    nearest.

    Args:
        starts: (D, 3) in voxels from the corner of the image.
        ends: (D, 3).
        energies: (D,).
        size: voxels along each axis; what lies outside is left out.

    Returns:
        (P,) line of each piece, (P,) number of its voxel (z fastest), (P,) its energy.
    """
    room, count = 4 * len(starts) + 64, 0
    lines, voxels, shares = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
    at, towards = np.empty(3, np.int64), np.empty(3, np.int64)
    following, between = np.empty(3), np.empty(3)
    for line in range(len(starts)):
        for axis in range(3):
            begin, way = starts[line, axis], ends[line, axis] - starts[line, axis]
            at[axis] = math.floor(begin)
            towards[axis] = 1 if way > 0 else -1
            following[axis] = (at[axis] + (way > 0) - begin) / way if way != 0 else np.inf
            between[axis] = abs(1 / way) if way != 0 else np.inf
        done = 0.0
        while done < 1:
            crossed = np.argmin(following)
            until = min(1.0, following[crossed])
            if until > done and at.min() >= 0 and at.max() < size:
                if count == room:
                    room *= 2
                    lines = np.concatenate((lines, np.empty(room - count, np.int64)))
                    voxels = np.concatenate((voxels, np.empty(room - count, np.int64)))
                    shares = np.concatenate((shares, np.empty(room - count)))
                lines[count] = line
                voxels[count] = (at[0] * size + at[1]) * size + at[2]
                shares[count] = energies[line] * (until - done)
                count += 1
            done = until
            at[crossed] += towards[crossed]
            following[crossed] += between[crossed]
    return lines[:count], voxels[:count], shares[:count]


def add_up(
    voxels: np.ndarray, owners: np.ndarray, energies: np.ndarray, num_owners: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add the energies of the same owner in the same voxel.

    Args:
        voxels: (P,) numbers of voxels.
        owners: (P,) numbers below ``num_owners``.
        energies: (P,).
        num_owners: number of owners.

    Returns:
        (M,) voxels, (M,) owners and (M,) float64 sums, sorted by voxel, then owner, each pair once.
    """
    keys = voxels * num_owners + owners
    order = stable_order(keys)
    keys = keys[order]
    first = np.flatnonzero(np.concatenate((np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1])))
    sums = np.add.reduceat(energies[order], first) if len(first) else np.zeros(0)
    keys = keys[first]
    return keys // num_owners, keys % num_owners, sums


def smear(
    voxels: np.ndarray, owners: np.ndarray, energies: np.ndarray, num_owners: int, size: int, width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spread every voxel's energy by a Gaussian about its centre, integrated over the voxels around it.

    The axes are smeared one after another. What leaves the image is lost.

    Args:
        voxels: (M,) as `add_up` returns them.
        owners: (M,).
        energies: (M,).
        num_owners: number of owners.
        size: voxels along each axis.
        width: standard deviation, voxels.

    Returns:
        As `add_up`.
    """
    weights = gaussian_weights(width)
    reach = len(weights) // 2
    for stride in (1, size, size * size):
        place = voxels // stride % size
        parts = []
        for shift, weight in zip(range(-reach, reach + 1), weights, strict=True):
            inside = slice(None) if shift == 0 else (place + shift >= 0) & (place + shift < size)
            parts.append((voxels[inside] + shift * stride, owners[inside], energies[inside] * weight))
        voxels, owners, energies = (np.concatenate(part) for part in zip(*parts, strict=True))
        voxels, owners, energies = add_up(voxels, owners, energies, num_owners)
    return voxels, owners, energies


def gaussian_weights(width: float) -> np.ndarray:
    """Return the shares of a Gaussian about the centre of a voxel in the voxels of a line, up to 3 widths; sum 1."""
    reach = max(0, math.ceil(3 * width - 0.5))
    edges = np.arange(-reach, reach + 2) - 0.5
    cumulative = np.array([math.erf(edge / (width * math.sqrt(2))) for edge in edges])
    return np.diff(cumulative) / (cumulative[-1] - cumulative[0])
