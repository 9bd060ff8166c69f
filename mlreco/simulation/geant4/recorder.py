"""User actions in machine code that write deposits and tracks into arrays.

User actions in Python take eight times as long as all that Geant4 itself does in an event. Here the methods are
compiled by numba and stand in a table of virtual methods of their own, as a C++ compiler would put them for a derived
class; the object is three words of memory: the address of that table, a word that the base class uses, and the address
of the structure that tells the methods where to write.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from mlreco.compiled import compiled_callback
from mlreco.simulation.geant4.layout import (
    DEPOSIT,
    G4DYNAMIC_PARTICLE,
    G4PARTICLE_DEFINITION,
    G4STEP,
    G4STEP_POINT,
    G4TRACK,
    STOP_AND_KILL,
    TRACK,
)
from mlreco.simulation.geant4.library import Library

_STEPPING, _TRACKING = "G4UserSteppingAction", "G4UserTrackingAction"
_WORDS_OF_TABLE = 8
"""Words of a table of virtual methods: two before the first method, and at most so many methods."""

_NEUTRINOS = (12, 14, 16)
_NEUTRON = 2112

_CONTROL = np.dtype(
    [
        ("deposits", "<i8"),
        ("tracks", "<i8"),
        ("deposit_room", "<i8"),
        ("track_room", "<i8"),
        ("at_deposits", "<u8"),
        ("at_tracks", "<u8"),
        ("slowest_neutron", "<f8"),
        ("is_neutron", "<i8"),
        ("is_charged", "<i8"),
        ("track", "<i8"),
    ]
)
_ACTION = np.dtype([("methods", "<u8"), ("manager", "<u8"), ("control", "<u8")])


def _as_pointer(typing: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.uint64), generate


_pointer: Any = intrinsic(_as_pointer)


@compiled_callback(types.void(types.uint64, types.uint64))
def _on_step(action: Any, step_address: Any) -> None:
    """Record the energy of a step; stop a neutron that has slowed down."""
    control = carray(_pointer(carray(_pointer(action), 1, _ACTION)[0].control), 1, _CONTROL)[0]
    step = carray(_pointer(step_address), 1, G4STEP)[0]
    if control.is_neutron:
        track = carray(_pointer(step.track), 1, G4TRACK)[0]
        if carray(_pointer(track.dynamic), 1, G4DYNAMIC_PARTICLE)[0].kinetic < control.slowest_neutron:
            track.status = STOP_AND_KILL
    if step.energy > 0:
        if control.deposits < control.deposit_room:
            row = carray(_pointer(control.at_deposits), control.deposit_room, DEPOSIT)[control.deposits]
            after = carray(_pointer(step.after), 1, G4STEP_POINT)[0]
            before = carray(_pointer(step.before), 1, G4STEP_POINT)[0] if control.is_charged else after
            for axis in range(3):
                row.start[axis] = before.position[axis]
                row.end[axis] = after.position[axis]
            row.energy = step.energy
            row.track = control.track
        control.deposits += 1


@compiled_callback(types.void(types.uint64, types.uint64))
def _on_track_start(action: Any, track_address: Any) -> None:
    """Record a track that begins; drop neutrinos, and neutrons that are too slow."""
    control = carray(_pointer(carray(_pointer(action), 1, _ACTION)[0].control), 1, _CONTROL)[0]
    track = carray(_pointer(track_address), 1, G4TRACK)[0]
    particle = carray(_pointer(track.dynamic), 1, G4DYNAMIC_PARTICLE)[0]
    definition = carray(_pointer(particle.definition), 1, G4PARTICLE_DEFINITION)[0]
    control.track = track.id
    control.is_charged = definition.charge != 0
    control.is_neutron = definition.pdg == _NEUTRON
    if abs(definition.pdg) in _NEUTRINOS or (control.is_neutron and particle.kinetic < control.slowest_neutron):
        track.status = STOP_AND_KILL
    if control.tracks < control.track_room:
        row = carray(_pointer(control.at_tracks), control.track_room, TRACK)[control.tracks]
        row.id = track.id
        row.parent = track.parent
        row.pdg = definition.pdg
        row.kinetic = particle.kinetic
        row.mass = definition.mass
        row.creator = track.creator
        row.start_time = track.time
        for axis in range(3):
            row.direction[axis] = particle.direction[axis]
            row.start[axis] = track.position[axis]
    control.tracks += 1


@compiled_callback(types.void(types.uint64, types.uint64))
def _on_track_end(action: Any, track_address: Any) -> None:
    """Complete the last row: Geant4 follows one track to its end before it begins another."""
    control = carray(_pointer(carray(_pointer(action), 1, _ACTION)[0].control), 1, _CONTROL)[0]
    if control.tracks <= control.track_room:
        track = carray(_pointer(track_address), 1, G4TRACK)[0]
        row = carray(_pointer(control.at_tracks), control.track_room, TRACK)[control.tracks - 1]
        row.end_time = track.time
        row.length = track.length
        for axis in range(3):
            row.end[axis] = track.position[axis]


class Recorder:
    """Records the events of a run manager.

    Args:
        library: Geant4; its run manager exists.
        slowest_neutron: kinetic energy (MeV) below which neutrons are dropped.
    """

    def __init__(self, library: Library, slowest_neutron: float) -> None:
        self._control = np.zeros(1, _CONTROL)
        self._control["slowest_neutron"] = slowest_neutron
        self._make_room(1 << 14, 1 << 13)
        manager = library.call("_ZN12G4RunManager13GetRunManagerEv")
        self._keep: list[np.ndarray] = []
        for base, methods in (
            (_STEPPING, {"18UserSteppingActionEPK6G4Step": _on_step}),
            (
                _TRACKING,
                {
                    "21PreUserTrackingActionEPK7G4Track": _on_track_start,
                    "22PostUserTrackingActionEPK7G4Track": _on_track_end,
                },
            ),
        ):
            action = self._action(library, base, methods)
            library.call(f"_ZN12G4RunManager13SetUserActionEP{len(base)}{base}", manager, action, returns=None)

    def clear(self) -> None:
        """Forget the last event."""
        self._control["deposits"] = self._control["tracks"] = 0

    def overflowed(self) -> bool:
        """Whether the last event did not fit; if so, there is room for it now."""
        deposits, tracks = int(self._control["deposits"][0]), int(self._control["tracks"][0])
        if deposits <= len(self._deposits) and tracks <= len(self._tracks):
            return False
        self._make_room(max(deposits, len(self._deposits)), max(tracks, len(self._tracks)))
        return True

    def deposits(self) -> np.ndarray:
        """Return the deposits of the last event, `layout.DEPOSIT`."""
        return self._deposits[: self._control["deposits"][0]].copy()

    def tracks(self) -> np.ndarray:
        """Return the tracks of the last event, `layout.TRACK`; their ``process`` is not filled in."""
        return self._tracks[: self._control["tracks"][0]].copy()

    def _make_room(self, deposits: int, tracks: int) -> None:
        self._deposits, self._tracks = np.zeros(deposits, DEPOSIT), np.zeros(tracks, TRACK)
        self._control["deposit_room"], self._control["track_room"] = deposits, tracks
        self._control["at_deposits"] = self._deposits.ctypes.data
        self._control["at_tracks"] = self._tracks.ctypes.data

    def _action(self, library: Library, base: str, methods: dict[str, Any]) -> int:
        """Return the address of an action whose methods replace those of its base class."""
        start = library.address(f"_ZTV{len(base)}{base}")
        table = np.frombuffer((np.ctypeslib.as_array(_words(start))).tobytes(), np.uint64).copy()
        for name, function in methods.items():
            place = np.flatnonzero(table == library.address(f"_ZN{len(base)}{base}{name}"))
            if len(place) != 1:
                raise RuntimeError(f"{base} has no virtual method {name}")
            table[place] = function.address
        action = np.zeros(1, _ACTION)
        action["methods"] = table.ctypes.data + 2 * table.itemsize
        action["control"] = self._control.ctypes.data
        self._keep += [table, action]
        return action.ctypes.data


def _words(address: int) -> Any:
    """Return the words of a table of virtual methods."""
    return (ctypes.c_uint64 * _WORDS_OF_TABLE).from_address(address)
