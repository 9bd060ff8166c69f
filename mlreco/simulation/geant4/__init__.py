"""Geant4 as it comes in the wheel ``geant4-pybind``: particles in, energy deposits and tracks out.

`tracker`, which loads Geant4, is for processes made for it; the rest may be imported anywhere.
"""

from mlreco.simulation.geant4.layout import DEPOSIT, TRACK
from mlreco.simulation.geant4.library import require_geant4

__all__ = ["DEPOSIT", "TRACK", "require_geant4"]
