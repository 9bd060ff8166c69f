"""Comparison of events with those that weights were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mlreco.checkpoints.metadata import DataFingerprint

_SAME_SIZE = 0.05
"""Relative difference of edges of voxels up to which they count as equal."""
_BEYOND = 1.5
"""Factor by which the typical number of voxels of an event may be outside the range of the training events."""
_FEW = 50
"""Number of voxels below which the median energy of an event is not used."""


@dataclass
class EventsSeen:
    """Properties of events, collected one after another.

    Attributes:
        voxels: number of voxels of each event that has any.
        energies: median energy of a voxel of each event of many voxels, MeV.
        voxel_sizes: edges of voxels that occur, cm, with the number of events.
    """

    voxels: list[int] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    voxel_sizes: dict[tuple[float, ...], int] = field(default_factory=dict)

    def add(self, energies: np.ndarray, voxel_size: Sequence[float]) -> None:
        """Add an event; an empty one is ignored.

        Args:
            energies: (N,) MeV.
            voxel_size: edges of a voxel, cm.
        """
        if not len(energies):
            return
        self.voxels.append(len(energies))
        if len(energies) >= _FEW:
            self.energies.append(float(np.median(energies)))
        size = tuple(map(float, voxel_size))
        self.voxel_sizes[size] = self.voxel_sizes.get(size, 0) + 1


def differences(seen: EventsSeen, trained: DataFingerprint) -> list[str]:
    """Return in which quantities events differ from those of the training, a phrase each with both values.

    Compared are: the edges of voxels, more than 5 % off; the median number of voxels of an event, outside 1.5 times the
    range of 98 % of the training events; the median energy of a voxel, outside the middle half of the training's
    voxels, where the median of every single event of a kind lies. The size of the image is not: the networks see
    voxels near each other, and thin events in images of 768 voxels have the ARI of the same events in 512 to 0.002.

    Args:
        seen: the events.
        trained: the events that the weights were trained on.
    """
    found = []
    wanted = trained.voxel_size
    others = [size for size in seen.voxel_sizes if wanted and not np.allclose(size, wanted, rtol=_SAME_SIZE, atol=0)]
    if others and wanted:
        found.append(f"voxel size {_lengths(others[0])}, trained on {_lengths(wanted)}")
    if seen.voxels and trained.voxels_per_event is not None:
        count = float(np.median(seen.voxels))
        low, high = trained.voxels_per_event.at(0.01), trained.voxels_per_event.at(0.99)
        if not low / _BEYOND <= count <= high * _BEYOND:
            found.append(f"{count:,.0f} voxels an event, trained on {low:,.0f} to {high:,.0f}")
    if seen.energies and trained.energy_per_voxel is not None:
        energy = float(np.median(seen.energies))
        low, middle, high = (trained.energy_per_voxel.at(one) for one in (0.25, 0.5, 0.75))
        if not low <= energy <= high:
            theirs = f"{middle:.3g} MeV ({low:.3g} to {high:.3g})"
            found.append(f"median energy of a voxel {energy:.3g} MeV, trained on {theirs}")
    return found


def _lengths(size: Sequence[float]) -> str:
    same = len(set(size)) == 1
    return f"{size[0]:.3g} cm" if same else f"{' x '.join(f'{edge:.3g}' for edge in size)} cm"
