"""Constants of liquid argon and masses of particles."""

from __future__ import annotations

DENSITY = 1.396
"""g/cm3, at 87.3 K and 1 atm (Particle Data Group)."""

RADIATION_LENGTH = 14.0
"""cm (Particle Data Group: 19.55 g/cm2)."""

MASSES = {"electron": 0.51099895, "muon": 105.6583755, "pion": 139.57039, "proton": 938.27208816}
"""Mass of a particle, MeV (Particle Data Group 2022)."""

MUON_OF_PION = (MASSES["pion"] - MASSES["muon"]) ** 2 / (2 * MASSES["pion"])
"""Kinetic energy of the muon from a pion that decays at rest, MeV."""
