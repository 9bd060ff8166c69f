"""Semantic classes of one numbering in another."""

from __future__ import annotations

import numpy as np

from mlreco.semantics import MLRECO, PILARNET, UNKNOWN, ClassScheme

_MINIMUM_IONISING = (13, 211, 321)
"""Magnitudes of the PDG codes of the tracks that are MIP: muons, charged pions, charged kaons."""

_HEAVY = 2212
"""Protons are HIP, and nuclei, whose codes are above 1e9."""


def translated_classes(classes: np.ndarray, own: ClassScheme, wanted: ClassScheme, pdg: np.ndarray) -> np.ndarray:
    """Return classes in another numbering, (N,) int64; -1 for those that it has no class for.

    Classes of the same name stay. HIP and MIP are tracks; which of them a track is depends on its particle.

    Args:
        classes: (N,) numbers of `own`, -1 where unknown.
        own: their numbering.
        wanted: the other one.
        pdg: (N,) code of the particle of each voxel, 0 where unknown.
    """
    classes = np.asarray(classes, np.int64)
    same = [wanted.number(name) if name in wanted.classes else UNKNOWN for name in own.classes]
    if wanted == MLRECO:
        for name in ("HIP", "MIP"):
            same[own.number(name)] = MLRECO.number("Track")
    known = (classes >= 0) & (classes < len(own))
    found = np.append(same, UNKNOWN)[np.where(known, classes, len(own))]
    if own == MLRECO and wanted == PILARNET:
        track, code = known & (classes == MLRECO.number("Track")), np.abs(np.asarray(pdg, np.int64))
        found[track & np.isin(code, _MINIMUM_IONISING)] = PILARNET.number("MIP")
        found[track & ((code == _HEAVY) | (code > 10**9))] = PILARNET.number("HIP")
    return found
