"""Geant4 in a cube of liquid argon: primaries in, deposits and tracks out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlreco.simulation.geant4.library import Library, read_string
from mlreco.simulation.geant4.processes import ProcessBuilder
from mlreco.simulation.geant4.recorder import Recorder
from mlreco.simulation.primaries import primaries as table_of

DENSITY = 1.396
"""Of liquid argon at its boiling point, g/cm3."""

STEP_MM = 3.0
"""Longest step of a charged particle."""

CUT_MM = 0.5
"""Electrons and photons whose range is shorter are not made; their energy stays where they would begin."""

SLOWEST_NEUTRON_MEV = 10.0
"""Slower neutrons are dropped, which brings the number of photons from nuclei near to that of the published images."""

PRIMARY = "primary"
"""Name of the process of a primary."""

_NAME_OF_PROCESS = 312
"""Offset of the name in a ``G4VProcess``."""


@dataclass(frozen=True)
class Recording:
    """What Geant4 did in an event.

    Attributes:
        deposits: (D,) `layout.DEPOSIT`.
        tracks: (T,) `layout.TRACK`, sorted by number; those of primaries are numbered from 1 in their order.
        processes: name of each process; a track's ``process`` is a position in it.
    """

    deposits: np.ndarray
    tracks: np.ndarray
    processes: tuple[str, ...]


class Tracker:
    """Geant4, ready for events. It keeps its state in the process: one in a process, and it lasts as long.

    Args:
        width: edge of the cube, mm; the origin is at its centre.

    Raises:
        UserError: Geant4 is not installed, or a version that was not checked.
    """

    def __init__(self, width: float) -> None:
        self._library = Library()
        self._python = self._library.python
        self._manager = self._python.G4RunManager()
        self._manager.SetVerboseLevel(0)
        self._parts = [_detector(self._python, width), _physics(self._library)]
        for part in self._parts:
            self._manager.SetUserInitialization(part)
        self._set_cut()
        self._gun = _gun(self._python)
        self._manager.SetUserAction(self._gun)
        self._recorder = Recorder(self._library, SLOWEST_NEUTRON_MEV)
        self._processes = {0: 0}
        self._names = [PRIMARY]
        self._manager.Initialize()
        self._check()

    def event(self, seed: int, primaries: np.ndarray) -> Recording:
        """Track primaries and all that they make.

        Args:
            seed: of Geant4's generator, 1 to 2^31 - 2; the same seed and primaries give the same event whatever was
                tracked before.
            primaries: (P,) `primaries.PRIMARY`, what to shoot.
        """
        self._gun.primaries = primaries
        while True:
            self._python.G4Random.setTheSeed(seed)
            self._recorder.clear()
            self._manager.BeamOn(1)
            if not self._recorder.overflowed():
                break
        tracks = self._recorder.tracks()
        tracks = tracks[np.argsort(tracks["id"])]
        addresses, where = np.unique(tracks["creator"], return_inverse=True)
        tracks["process"] = np.array([self._process(int(address)) for address in addresses], np.int32)[where]
        return Recording(self._recorder.deposits(), tracks, tuple(self._names))

    def _set_cut(self) -> None:
        """Set the production threshold, by Geant4's own command.

        The methods that a physics list inherits from ``G4VUserPhysicsList``, such as ``SetDefaultCutValue``, must not
        be called through the bindings: that base is virtual, and they do not move the pointer to it, so that the method
        writes into other memory. One start in twenty died of it.
        """
        self._python.G4UImanager.GetUIpointer().ApplyCommand(f"/run/setCut {CUT_MM} mm")

    def _process(self, address: int) -> int:
        """Return the number of a process."""
        if address not in self._processes:
            name = read_string(address + _NAME_OF_PROCESS)
            if name not in self._names:
                self._names.append(name)
            self._processes[address] = self._names.index(name)
        return self._processes[address]

    def _check(self) -> None:
        """Track one electron, which makes Geant4 build its tables, and see that its track is read rightly."""
        first = self.event(1, table_of([(11, 10.0, (1.0, 2.0, 3.0), (0.0, 0.6, 0.8), 0)])).tracks[0]
        read = [first["id"], first["parent"], first["pdg"], first["kinetic"], *first["start"], *first["direction"]]
        if not np.allclose(read, [1, 0, 11, 10.0, 1.0, 2.0, 3.0, 0.0, 0.6, 0.8], rtol=1e-12, atol=1e-12):
            raise RuntimeError(f"Geant4's memory is laid out differently: the first track reads {read}")


def _detector(geant4: Any, width: float) -> Any:
    class Cube(geant4.G4VUserDetectorConstruction):
        def Construct(self) -> Any:
            self.argon = geant4.G4Material("LAr", DENSITY * geant4.g / geant4.cm3, 1, geant4.kStateLiquid)
            self.argon.AddElement(geant4.G4NistManager.Instance().FindOrBuildElement("Ar"), 1)
            self.box = geant4.G4Box("cube", width / 2, width / 2, width / 2)
            self.volume = geant4.G4LogicalVolume(self.box, self.argon, "cube")
            self.limits = geant4.G4UserLimits(STEP_MM)
            self.volume.SetUserLimits(self.limits)
            self.placement = geant4.G4PVPlacement(None, geant4.G4ThreeVector(), self.volume, "cube", None, False, 0)
            return self.placement

    return Cube()


def _physics(library: Library) -> Any:
    geant4: Any = library.python

    class Processes(geant4.G4VPhysicsConstructor):
        def __init__(self) -> None:
            super().__init__("mlreco")

        def ConstructParticle(self) -> None:
            """G4DecayPhysics constructs all particles."""

        def ConstructProcess(self) -> None:
            ProcessBuilder(library).build()

    class PhysicsList(geant4.G4VModularPhysicsList):
        def __init__(self) -> None:
            super().__init__()
            self.SetVerboseLevel(0)
            self.parts = [Processes(), geant4.G4DecayPhysics(), geant4.G4StepLimiterPhysics()]
            for part in self.parts:
                self.RegisterPhysics(part)

    return PhysicsList()


def _gun(geant4: Any) -> Any:
    class Gun(geant4.G4VUserPrimaryGeneratorAction):
        def __init__(self) -> None:
            super().__init__()
            self.gun = geant4.G4ParticleGun(1)
            self.primaries = table_of([])

        def GeneratePrimaries(self, event: Any) -> None:
            table = geant4.G4ParticleTable.GetParticleTable()
            for row in self.primaries:
                self.gun.SetParticleDefinition(table.FindParticle(int(row["pdg"])))
                self.gun.SetParticleEnergy(float(row["kinetic"]))
                self.gun.SetParticlePosition(geant4.G4ThreeVector(*map(float, row["position"])))
                self.gun.SetParticleMomentumDirection(geant4.G4ThreeVector(*map(float, row["direction"])))
                self.gun.GeneratePrimaryVertex(event)

    return Gun()
