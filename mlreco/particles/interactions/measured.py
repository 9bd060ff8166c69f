"""What is known of particles before they are related to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.particles.kinds import Kind
from mlreco.particles.proximity import Proximity
from mlreco.particles.showers import ShowerStarts
from mlreco.particles.trajectory import Trajectories


@dataclass(frozen=True)
class Measured:
    """What is known of K particles before they are related to others of their events; N voxels.

    Attributes:
        events: (K,) int64 event of each, ascending.
        kinds: (K,) `Kind` of each.
        sizes: (K,) number of voxels.
        energies: (K,) MeV.
        trajectories: their paths.
        sense: (K,) log odds from dE/dx that a track moves from its first end to its second.
        showers: starts of showers in both senses.
        shower_errors: (K,) uncertainty of their directions, rad.
        proximity: their closest approaches.
        positions: (N, 3) their voxels, cm.
        together: (K,) numbers, the same for particles that a stage has put in one interaction, not for those of two
            events; -1 for those that it has put in none; None where no stage does.
    """

    events: np.ndarray
    kinds: np.ndarray
    sizes: np.ndarray
    energies: np.ndarray
    trajectories: Trajectories
    sense: np.ndarray
    showers: ShowerStarts
    shower_errors: np.ndarray
    proximity: Proximity
    positions: np.ndarray
    together: np.ndarray | None = None

    @property
    def tracks(self) -> np.ndarray:
        """(K,) bool: which are tracks."""
        return self.kinds == Kind.TRACK

    @property
    def electromagnetic(self) -> np.ndarray:
        """(S,) int64 places of the showers."""
        return np.flatnonzero(self.kinds == Kind.SHOWER)

    @property
    def circles(self) -> np.ndarray:
        """(K,) int64, the same for particles that may be related: of an event and, where a stage tells, interaction."""
        if self.together is None:
            return self.events
        return np.where(self.together >= 0, self.together, -1 - self.events)
