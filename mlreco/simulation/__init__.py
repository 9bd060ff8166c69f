"""Simulated events with truth: Geant4 tracks particles through liquid argon, deposits become labelled images.

Geant4 comes in the wheel ``geant4-pybind`` (``pip install 'mlreco[simulate]'``) and runs in processes of its own.
"""

from mlreco.simulation.geant4 import require_geant4
from mlreco.simulation.guns import Gun, gun_from_text
from mlreco.simulation.modes import MODES
from mlreco.simulation.options import Options, options_from_mapping
from mlreco.simulation.production import Production, output_paths, simulate

__all__ = [
    "MODES",
    "Gun",
    "Options",
    "Production",
    "gun_from_text",
    "options_from_mapping",
    "output_paths",
    "require_geant4",
    "simulate",
]
