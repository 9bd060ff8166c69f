"""From Geant4's tracks to instances: which track belongs to which, and of which class each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlreco.compiled import compiled
from mlreco.simulation.modes import DELTA, HIP, MICHEL, MIP, SHOWER, Mode

ELECTRON, PHOTON, MUON = 11, 22, 13
_TRACKS = (13, 211, 321)
"""Magnitudes of the PDG codes of muons, charged pions and charged kaons."""

_OTHER, _DECAY, _CAPTURE, _IONISATION = range(4)
_PROCESSES = {
    "Decay": _DECAY,
    "muMinusCaptureAtRest": _CAPTURE,
    "muIoni": _IONISATION,
    "hIoni": _IONISATION,
    "ionIoni": _IONISATION,
}
_MICHEL_FROM_CAPTURE_MEV = 1.5
"""Electrons of less kinetic energy that come with a captured muon are Auger electrons, not from its decay in orbit."""


@dataclass(frozen=True)
class Family:
    """Instances that tracks belong to; the arrays are aligned with the tracks, (T,), which are sorted by their number.

    Attributes:
        parents: row of the parent track, -1 for a primary.
        roots: row of the track that begins the instance.
        classes: class number of the instance.
    """

    parents: np.ndarray
    roots: np.ndarray
    classes: np.ndarray


def families(tracks: np.ndarray, processes: Sequence[str], mode: Mode) -> Family:
    """Divide tracks into instances.

    An electromagnetic family, electrons, positrons and photons of one origin, is one instance. Electrons of a muon's
    decay begin a Michel instance, knock-on electrons above the threshold of the mode a delta instance. Every other
    track is an instance of its own.

    Args:
        tracks: (T,) `geant4.TRACK`, sorted by number; parents come before their daughters.
        processes: names of the processes.
        mode: the kind of image.
    """
    parents = rows_of(tracks["id"], tracks["parent"])
    kinds = np.array([_PROCESSES.get(name, _OTHER) for name in processes])[tracks["process"]]
    roots, classes = _divide(parents, tracks["pdg"], kinds, tracks["kinetic"], mode.delta, mode.splits)
    return Family(parents, roots, classes)


def rows_of(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the rows of tracks by their numbers, -1 for number 0.

    Args:
        numbers: (T,) increasing track numbers.
        wanted: (N,) track numbers.
    """
    rows = np.searchsorted(numbers, wanted)
    return np.where(wanted > 0, rows, -1)


@compiled
def _is_electromagnetic(pdg: int) -> bool:
    return abs(pdg) == ELECTRON or pdg == PHOTON


@compiled
def _divide(
    parents: np.ndarray, pdg: np.ndarray, kinds: np.ndarray, kinetic: np.ndarray, delta: float, splits: bool
) -> tuple[np.ndarray, np.ndarray]:
    roots = np.arange(len(parents))
    classes = np.full(len(parents), HIP)
    for row in range(len(parents)):
        parent = parents[row]
        parent_pdg = pdg[parent] if parent >= 0 else 0
        if not _is_electromagnetic(pdg[row]):
            if abs(pdg[row]) in _TRACKS:
                classes[row] = MIP
            continue
        joins = False
        if _is_electromagnetic(parent_pdg):
            radiated = pdg[row] == PHOTON and (classes[parent] == MICHEL or classes[parent] == DELTA)
            joins = not (splits and radiated)
            classes[row] = SHOWER
        elif (
            abs(parent_pdg) == MUON
            and pdg[row] != PHOTON
            and (kinds[row] == _DECAY or (kinds[row] == _CAPTURE and kinetic[row] > _MICHEL_FROM_CAPTURE_MEV))
        ):
            classes[row] = MICHEL
        elif pdg[row] == ELECTRON and kinds[row] == _IONISATION:
            joins = kinetic[row] <= delta
            classes[row] = DELTA
        elif pdg[row] == ELECTRON and kinds[row] == _CAPTURE:
            joins = True
        else:
            classes[row] = SHOWER
        if joins:
            roots[row], classes[row] = roots[parent], classes[parent]
    return roots, classes
