"""Makes images from Geant4's deposits; every voxel has an energy, a class and an instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.semantics import MLRECO, PILARNET
from mlreco.simulation.modes import DELTA, HIP, MIP, VOXEL_MM, Mode
from mlreco.simulation.truth import Family, rows_of
from mlreco.simulation.voxelise import add_up, cut_at_planes, smear

_FEWEST_VOXELS = 3
"""A delta or hadron with fewer voxels of its own, before smearing, joins the charged particle that made it."""

_FAINT_MEV = 0.01
"""Energy below which a deposit in a voxel does not count as a voxel."""

_LOW_ENERGY_VOXELS = 5
"""A secondary instance of at most so many voxels, before smearing, is a low-energy scatter."""

_NEUTRAL = (22, 2112, -2112, 111, 130, 310, 311, 3122)
"""PDG codes of particles that have no track of their own, so that nothing can join them."""

_MLRECO_NAMES = {"HIP": "Track", "MIP": "Track"}
_MLRECO_NUMBERS = np.array([MLRECO.number(_MLRECO_NAMES.get(name, name)) for name in PILARNET.classes])
"""Number of each class of the scheme ``pilarnet`` in the scheme ``mlreco``."""


@dataclass(frozen=True)
class Image:
    """An image and its instances.

    Attributes:
        voxels: (N,) int64 numbers of voxels, increasing, z fastest.
        energies: (N,) float64, MeV.
        instances: (N,) instance of each voxel, from 0.
        roots: (K,) row of the track that begins each instance, increasing.
        classes: (K,) class number of each instance.
        deposited: (K,) energy that each instance left in the cube, MeV, before threshold and shares.
        low_energy: (K,) whether the instance is a low-energy scatter.
        track_instances: (T,) instance of each track, -1 where it has none in the image.
        deposit_instances: (D,) instance of each deposit, -1 likewise.
    """

    voxels: np.ndarray
    energies: np.ndarray
    instances: np.ndarray
    roots: np.ndarray
    classes: np.ndarray
    deposited: np.ndarray
    low_energy: np.ndarray
    track_instances: np.ndarray
    deposit_instances: np.ndarray

    def __len__(self) -> int:
        return len(self.voxels)

    @property
    def mlreco_classes(self) -> np.ndarray:
        """(K,) class number of each instance in the scheme ``mlreco``, which has low-energy scatters as a class."""
        return np.where(self.low_energy, MLRECO.number("LowE"), _MLRECO_NUMBERS[self.classes])


def make_image(deposits: np.ndarray, tracks: np.ndarray, family: Family, size: int, mode: Mode) -> Image:
    """Make the image of an event.

    Args:
        deposits: (D,) `geant4.DEPOSIT`.
        tracks: (T,) `geant4.TRACK`, sorted by number.
        family: the instances of the tracks.
        size: voxels along each axis.
        mode: the kind of image.
    """
    num_tracks = len(tracks)
    rows = rows_of(tracks["id"], deposits["track"])
    lines, voxels, shares = cut_at_planes(
        deposits["start"] / VOXEL_MM + size / 2, deposits["end"] / VOXEL_MM + size / 2, deposits["energy"], size
    )
    voxels, owners, energies = add_up(voxels, family.roots[rows][lines], shares, num_tracks)
    joined = _join_small(voxels, owners, energies, tracks["pdg"], family)
    voxels, owners, energies = add_up(voxels, joined[owners], energies, num_tracks)
    deposited = np.bincount(owners, energies, num_tracks)
    extents = np.bincount(owners, minlength=num_tracks)
    if mode.smearing:
        voxels, owners, energies = smear(voxels, owners, energies, num_tracks, size, mode.smearing)
    ranks = np.argsort(mode.precedence)[family.classes]
    voxels, sums, winners = _compete(voxels, owners, energies, ranks, mode.share)
    kept = sums > mode.threshold
    roots, instances = np.unique(winners[kept], return_inverse=True)
    numbers = np.full(num_tracks, -1)
    numbers[roots] = np.arange(len(roots))
    track_instances = numbers[joined[family.roots]]
    return Image(
        voxels[kept],
        sums[kept],
        instances,
        roots,
        family.classes[roots],
        deposited[roots],
        (extents[roots] <= _LOW_ENERGY_VOXELS) & (family.parents[roots] >= 0),
        track_instances,
        track_instances[rows],
    )


def _join_small(
    voxels: np.ndarray, owners: np.ndarray, energies: np.ndarray, pdg: np.ndarray, family: Family
) -> np.ndarray:
    """Return the owner that each owner becomes when those too small to be seen join the one that made them.

    A delta electron is seen where its track is not.
    """
    is_track = np.isin(family.classes[owners], (HIP, MIP))
    _, place = np.unique(voxels, return_inverse=True)
    on_track = np.bincount(place, is_track).astype(bool)[place] if len(place) else np.zeros(0, bool)
    counts = ~((family.classes[owners] == DELTA) & on_track) & (energies > _FAINT_MEV)
    extents = np.bincount(owners[counts], minlength=len(pdg))
    present = np.bincount(owners, minlength=len(pdg)) > 0
    made_by_charged = (family.parents >= 0) & ~np.isin(pdg[family.parents], _NEUTRAL)
    small = present & made_by_charged & np.isin(family.classes, (DELTA, HIP, MIP)) & (extents < _FEWEST_VOXELS)
    return _follow(small, family.parents, family.roots)


@compiled
def _follow(small: np.ndarray, parents: np.ndarray, roots: np.ndarray) -> np.ndarray:
    joined = np.arange(len(small))
    for row in range(len(small)):
        if small[row]:
            joined[row] = joined[roots[parents[row]]]
    return joined


@compiled
def _compete(
    voxels: np.ndarray, owners: np.ndarray, energies: np.ndarray, ranks: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give every voxel to one of its owners.

    Those that left at least ``share`` of its energy come first, then the class of the lowest rank, then the larger
    deposit, then the earlier track.

    Args:
        voxels: (M,) sorted; equal ones compete.
        owners: (M,) rows of tracks.
        energies: (M,).
        ranks: (T,) rank of the class of each owner.
        share: part of the energy.

    Returns:
        (N,) voxels, (N,) their energies, (N,) their owners.
    """
    out_voxels, sums, winners = np.empty_like(voxels), np.empty_like(energies), np.empty_like(owners)
    count, first = 0, 0
    while first < len(voxels):
        end, total = first, 0.0
        while end < len(voxels) and voxels[end] == voxels[first]:
            total += energies[end]
            end += 1
        best = first
        for row in range(first + 1, end):
            mine, its = energies[row] < share * total, energies[best] < share * total
            if mine != its:
                better = its
            elif ranks[owners[row]] != ranks[owners[best]]:
                better = ranks[owners[row]] < ranks[owners[best]]
            else:
                better = energies[row] > energies[best]
            if better:
                best = row
        out_voxels[count], sums[count], winners[count] = voxels[first], total, owners[best]
        count += 1
        first = end
    return out_voxels[:count], sums[:count], winners[:count]
