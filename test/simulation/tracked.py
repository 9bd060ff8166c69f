"""Child process of the tests: tracks given primaries and pickles what was recorded.

Reads a pickled tuple (width, list of (seed, primaries), how) from standard input: ``native`` is for the recorder
of the product, ``python`` for user actions written against the public bindings, the oracle of the former.
"""

import os
import pickle
import sys

import numpy as np


def python_actions(geant4, slowest_neutron):
    """The slow, obvious recorder."""

    class Stepping(geant4.G4UserSteppingAction):
        def __init__(self):
            super().__init__()
            self.rows = []

        def UserSteppingAction(self, step):
            track = step.GetTrack()
            definition = track.GetDefinition()
            if definition.GetPDGEncoding() == 2112 and track.GetKineticEnergy() < slowest_neutron:
                track.SetTrackStatus(geant4.fStopAndKill)
            energy = step.GetTotalEnergyDeposit()
            if energy > 0:
                end = step.GetPostStepPoint().GetPosition()
                start = step.GetPreStepPoint().GetPosition() if definition.GetPDGCharge() else end
                place = ((start.x, start.y, start.z), (end.x, end.y, end.z))
                self.rows.append((*place, energy, track.GetTrackID()))

    class Tracking(geant4.G4UserTrackingAction):
        def __init__(self):
            super().__init__()
            self.rows = []

        def PreUserTrackingAction(self, track):
            definition, process = track.GetDefinition(), track.GetCreatorProcess()
            pdg, kinetic = definition.GetPDGEncoding(), track.GetKineticEnergy()
            if abs(pdg) in (12, 14, 16) or (pdg == 2112 and kinetic < slowest_neutron):
                track.SetTrackStatus(geant4.fStopAndKill)
            at, direction = track.GetPosition(), track.GetMomentumDirection()
            self.rows.append(
                {
                    "id": track.GetTrackID(),
                    "parent": track.GetParentID(),
                    "pdg": pdg,
                    "process": process.GetProcessName() if process else "primary",
                    "kinetic": kinetic,
                    "mass": definition.GetPDGMass(),
                    "direction": (direction.x, direction.y, direction.z),
                    "start": (at.x, at.y, at.z),
                    "start_time": track.GetGlobalTime(),
                }
            )

        def PostUserTrackingAction(self, track):
            at = track.GetPosition()
            self.rows[-1].update(end=(at.x, at.y, at.z), end_time=track.GetGlobalTime(), length=track.GetTrackLength())

    return Stepping(), Tracking()


def by_python(tracker, seed, primaries, actions):
    stepping, tracking = actions
    stepping.rows, tracking.rows = [], []
    tracker._gun.primaries = primaries
    tracker._python.G4Random.setTheSeed(seed)
    tracker._manager.BeamOn(1)
    return stepping.rows, sorted(tracking.rows, key=lambda row: row["id"])


def main():
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from mlreco.simulation.geant4.tracker import SLOWEST_NEUTRON_MEV, Tracker

    width, events, how = pickle.load(sys.stdin.buffer)
    tracker = Tracker(width)
    if how == "python":
        actions = python_actions(tracker._python, SLOWEST_NEUTRON_MEV)
        for action in actions:
            tracker._manager.SetUserAction(action)
        recorded = [by_python(tracker, seed, np.asarray(primaries), actions) for seed, primaries in events]
    else:
        recorded = [tracker.event(seed, primaries) for seed, primaries in events]
    pickle.dump(recorded, replies)
    replies.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
