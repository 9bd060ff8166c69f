"""From groups of particles to interactions, event after event: the groups themselves, or what a stage tells."""

from __future__ import annotations

import numpy as np

from mlreco.particles.interactions.measured import Measured


def placed(labels: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Return the place of each label, from 0, among all labels by event and number, (K,) int64."""
    return np.unique(events * (labels.max(initial=0) + 1) + labels, return_inverse=True)[1]


def as_told(
    together: np.ndarray, group: np.ndarray, primary: np.ndarray, event: Measured
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interactions that a stage tells, and which particles are primary there.

    Of several groups of geometry in one interaction the one with most primaries, then most energy, has its vertex.
    """
    labels = np.where(together >= 0, together, together.max(initial=-1) + 1 + group)
    interaction = placed(labels, event.events)
    primaries = np.bincount(group, primary)
    energy = np.bincount(group, np.nan_to_num(event.energies))
    order = np.lexsort((group, energy[group], primaries[group], interaction))
    last = np.append(np.flatnonzero(np.diff(interaction[order])), len(order) - 1)
    main = np.empty(len(last), np.int64)
    main[interaction[order[last]]] = group[order[last]]
    return interaction, primary & (group == main[interaction])
