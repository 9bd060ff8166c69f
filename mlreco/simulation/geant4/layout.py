"""The recorded data of an event, and their places in Geant4's objects.

The offsets are those of Geant4 11 in the wheels of `library.VERSIONS`; `tracker` checks them when it starts.
"""

from __future__ import annotations

import numpy as np

DEPOSIT = np.dtype([("start", "<f8", (3,)), ("end", "<f8", (3,)), ("energy", "<f8"), ("track", "<i8")])
"""Energy (MeV) that a track left evenly between two points (mm)."""

TRACK = np.dtype(
    [
        ("id", "<i4"),
        ("parent", "<i4"),
        ("pdg", "<i4"),
        ("process", "<i4"),
        ("kinetic", "<f8"),
        ("mass", "<f8"),
        ("direction", "<f8", (3,)),
        ("start", "<f8", (3,)),
        ("start_time", "<f8"),
        ("end", "<f8", (3,)),
        ("end_time", "<f8"),
        ("length", "<f8"),
        ("creator", "<u8"),
    ]
)
"""A track: number, that of its parent (0 for none), PDG code, number of the creating process's name, kinetic energy and
mass (MeV) and direction at its start, start and end (mm, ns), length (mm), and the address of the creating process."""


def _at(size: int, **members: tuple[str | tuple[str, tuple[int]], int]) -> np.dtype:
    return np.dtype(
        {
            "names": list(members),
            "formats": [kind for kind, _ in members.values()],
            "offsets": [offset for _, offset in members.values()],
            "itemsize": size,
        }
    )


_VECTOR = ("<f8", (3,))
G4STEP = _at(48, energy=("<f8", 0), before=("<u8", 16), after=("<u8", 24), track=("<u8", 40))
G4STEP_POINT = _at(24, position=(_VECTOR, 0))
G4TRACK = _at(
    272,
    position=(_VECTOR, 0),
    time=("<f8", 24),
    length=("<f8", 40),
    dynamic=("<u8", 80),
    status=("<i4", 88),
    creator=("<u8", 184),
    parent=("<i4", 260),
    id=("<i4", 264),
)
G4DYNAMIC_PARTICLE = _at(120, direction=(_VECTOR, 0), definition=("<u8", 48), kinetic=("<f8", 80))
G4PARTICLE_DEFINITION = _at(276, mass=("<f8", 112), charge=("<f8", 128), pdg=("<i4", 272))

STOP_AND_KILL = 2
"""Value of ``fStopAndKill`` in ``G4TrackStatus``."""
