"""The two kinds of images, and their rules for voxels and tracks."""

from __future__ import annotations

from dataclasses import dataclass

from mlreco.errors import UserError, nearest
from mlreco.semantics import PILARNET

HIP, MIP, SHOWER, DELTA, MICHEL = (PILARNET.number(name) for name in ("HIP", "MIP", "Shower", "Delta", "Michel"))

VOXEL_MM = 3.0
"""Edge of a voxel."""


@dataclass(frozen=True)
class Mode:
    """How deposits become an image.

    Attributes:
        name: of the mode.
        smearing: width of the Gaussian that spreads a voxel's energy, voxels; 0 for none.
        threshold: voxels of no more energy than this are left out, MeV.
        precedence: class numbers; of the instances that share a voxel, that of the first class has it.
        share: part of a voxel's energy that an instance must have left there to compete for it.
        delta: a knock-on electron of less kinetic energy stays part of its track, MeV.
        splits: whether a photon radiated by a Michel or delta electron is a shower of its own.
    """

    name: str
    smearing: float
    threshold: float
    precedence: tuple[int, ...]
    share: float
    delta: float
    splits: bool


MODES = {
    mode.name: mode
    for mode in (
        Mode("thin", 0.0, 0.13, (HIP, MIP, MICHEL, SHOWER, DELTA), share=0.1, delta=2.5, splits=True),
        Mode("fat", 0.49, 0.01, (MICHEL, DELTA, HIP, MIP, SHOWER), share=0.1, delta=4.5, splits=False),
    )
}
"""``thin``: lines one voxel wide, tracks before all else, like PILArNet-M. ``fat``: smeared charge, like PILArNet of
2020 (arXiv:2006.01993); its numbers were tuned on the one event of it that is published with ``dlp_opendata_api``."""


def mode(name: str) -> Mode:
    """Return the mode of that name.

    Raises:
        UserError: there is none.
    """
    if name not in MODES:
        raise UserError(f"no mode '{name}'{nearest(name, MODES)}")
    return MODES[name]
