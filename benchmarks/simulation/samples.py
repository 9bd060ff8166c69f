"""Particles in a large cube of liquid argon, and what is measured on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlreco.particles.liquid_argon import RADIATION_LENGTH
from mlreco.simulation.geant4.tracker import Recording, Tracker
from mlreco.simulation.primaries import PDG, primaries

WIDTH_MM = 6000.0
START_MM = -2900.0
"""Where beams along x begin."""

CM = 10.0
Measurement = tuple[float, float]
"""A mean and its statistical uncertainty."""


class Beams:
    """Shoots particles along x, each event with a seed of its own."""

    def __init__(self, tracker: Tracker, seed: int) -> None:
        self._tracker, self._seed = tracker, seed

    def shoot(self, particle: str, kinetic: float, count: int, depth: float | None = None) -> Iterator[Recording]:
        """Yield the recordings of single particles, which have ``depth`` cm before them if it is given."""
        start = START_MM if depth is None else WIDTH_MM / 2 - CM * depth
        shot = primaries([(PDG[particle], kinetic, (start, 0, 0), (1, 0, 0), 0)])
        for _ in range(count):
            self._seed += 1
            yield self._tracker.event(self._seed, shot)


def mean(values: Sequence[float]) -> Measurement:
    """Return the mean of values and its uncertainty."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def fraction(hits: Sequence[bool]) -> Measurement:
    """Return a share and its binomial uncertainty."""
    share = float(np.mean(hits))
    return share, float(np.sqrt(share * (1 - share) / len(hits)))


def processes(recording: Recording) -> set[str]:
    """Return the names of the processes that made a track."""
    return {recording.processes[number] for number in recording.tracks["process"]}


def made_by(recording: Recording, process: str, pdg: int) -> np.ndarray:
    """Return the daughters of the primary of one kind that a process made."""
    tracks = recording.tracks
    names = np.array([recording.processes[number] for number in tracks["process"]])
    return tracks[(tracks["parent"] == 1) & (tracks["pdg"] == pdg) & (names == process)]


def stopping_power(recordings: Iterator[Recording], length: float) -> Measurement:
    """Return the mean energy deposited per cm along the first ``length`` cm."""
    lost = []
    for recording in recordings:
        inside = recording.deposits["end"][:, 0] < START_MM + CM * length
        lost.append(recording.deposits["energy"][inside].sum() / length)
    return mean(lost)


def path_length(recordings: Iterator[Recording], ended_otherwise: set[str]) -> Measurement:
    """Return the mean path (cm) of primaries that stop, those with daughters of certain processes left out."""
    return mean([one.tracks["length"][0] / CM for one in recordings if not processes(one) & ended_otherwise])


def stopped_muon_range(recordings: Iterator[Recording]) -> Measurement:
    """Return the mean path (cm) of muons that do not decay in flight: those within 10 % of the median."""
    lengths = np.array([one.tracks["length"][0] / CM for one in recordings])
    return mean(lengths[np.abs(lengths / np.median(lengths) - 1) < 0.1])


def free_path(recordings: Iterator[Recording], process: str) -> Measurement:
    """Return the mean distance (cm) to the first daughter that a process made.

    That of the exponential by maximum likelihood, with those that stop or leave before (censored).
    """
    gaps, found = 0.0, 0
    for recording in recordings:
        tracks = recording.tracks
        names = np.array([recording.processes[number] for number in tracks["process"]])
        daughters = tracks[(tracks["parent"] == 1) & (names == process)]
        end = daughters["start"][0] if len(daughters) else tracks["end"][0]
        gaps += np.linalg.norm(end - tracks["start"][0]) / CM
        found += bool(len(daughters))
    return gaps / found, gaps / found / np.sqrt(found)


def shower_shape(recordings: Iterator[Recording], radius: float) -> tuple[Measurement, Measurement]:
    """Return the share of the energy within a radius (cm) of the axis, and the depth of the maximum (X0).

    The maximum is that of a parabola through the five bins about the highest, 0.5 X0 wide, of the mean profile.
    """
    shares, profiles = [], []
    edges = np.arange(0, 20.5, 0.5)
    for recording in recordings:
        deposits = recording.deposits
        middle = (deposits["start"] + deposits["end"]) / 2
        away = np.hypot(middle[:, 1], middle[:, 2]) / CM
        shares.append(deposits["energy"][away < radius].sum() / deposits["energy"].sum())
        depth = (middle[:, 0] - START_MM) / CM / RADIATION_LENGTH
        profiles.append(np.histogram(depth, edges, weights=deposits["energy"])[0])
    halves = [_peak(np.mean(profiles[first::8], axis=0), edges) for first in range(8)]
    return mean(shares), (_peak(np.mean(profiles, axis=0), edges), mean(halves)[1])


def _peak(profile: np.ndarray, edges: np.ndarray) -> float:
    """Return where a parabola through the five bins around the highest is highest."""
    top = int(np.clip(np.argmax(profile), 2, len(profile) - 3))
    centres = (edges[1:] + edges[:-1])[top - 2 : top + 3] / 2
    curvature, slope, _ = np.polyfit(centres, profile[top - 2 : top + 3], 2)
    return float(-slope / (2 * curvature))


def decays(recordings: Iterator[Recording], process: str, pdg: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return energies (total, MeV) and times (ns) of what stopped primaries decay to, and how many stopped.

    Those that end before 90 % of the median path decayed in flight and are left out.
    """
    kept = list(recordings)
    lengths = np.array([one.tracks["length"][0] for one in kept])
    stopped = [kept[number] for number in np.flatnonzero(lengths > 0.9 * np.median(lengths))]
    daughters = [made_by(one, process, pdg) for one in stopped]
    rows = np.concatenate([one[one["kinetic"] > 1.5] for one in daughters])
    return rows["kinetic"] + rows["mass"], rows["start_time"], len(stopped)


def photon_pair_mass(recordings: Iterator[Recording]) -> Measurement:
    """Return the mean invariant mass (MeV) of the two photons of neutral pions."""
    masses = []
    for recording in recordings:
        photons = made_by(recording, "Decay", PDG["gamma"])
        if len(photons) == 2:
            cosine = photons["direction"][0] @ photons["direction"][1]
            masses.append(np.sqrt(2 * photons["kinetic"].prod() * (1 - cosine)))
    return mean(masses)
