"""Where the energy of a muon on its plateau goes: ``python -m benchmarks.physics.energy_budget``.

Muons that stop inside the cube are simulated and reconstructed from their true instances. Between 50 cm and 1 cm less
than their range before the end, the energy that they lose by the range tables is compared with what Geant4 deposited,
what is in the instance of the muon, what is left of it in voxels above threshold, and what the steps of the
reconstruction hold. The table goes to ``benchmarks/results/energy_budget.md``.
"""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from mlreco.atomic import write_text
from mlreco.iotools.interface import unflatten
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import kinetic_energy
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.semantics import PILARNET
from mlreco.simulation.geant4.tracker import Recording, Tracker
from mlreco.simulation.guns import gun_from_text, shoot
from mlreco.simulation.image import Image, make_image
from mlreco.simulation.modes import MODES, VOXEL_MM, Mode
from mlreco.simulation.products import MM_TO_CM, rounded
from mlreco.simulation.truth import families, rows_of

RESULT = Path(__file__).resolve().parents[1] / "results" / "energy_budget.md"
SIZE = 512
FAR, NEAR_START = 50.0, 1.0
"""Residual ranges from here, cm, to this distance from the start."""

ROWS = (
    ("range tables: loss over the same ranges", "tables"),
    ("deposited by the muon and all that it knocked out", "deposited"),
    ("of that in other instances (delta electrons, what they radiate)", "others"),
    ("of that in the instance of the muon", "own"),
    ("of that in voxels below the threshold", "below"),
    ("in the voxels of the muon", "voxels"),
    ("in the steps of dE/dx", "steps"),
    ("in the voxels of delta electrons that are its daughters", "deltas"),
)


def main() -> None:
    """Simulate, reconstruct, write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics.energy_budget", description="See the module.")
    parser.add_argument("--events", type=int, default=400, help="muons to simulate (400)")
    parser.add_argument("--seed", type=int, default=74001)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in MODES}
    for recording in _recordings(arguments.seed, arguments.events):
        for name, mode in MODES.items():
            budget = _budget(recording, mode)
            if budget:
                found[name].append(budget)
    text = _table(found, arguments)
    write_text(RESULT, text)
    print(text, flush=True)
    os._exit(0)  # Geant4's own clean-up frees what it does not own


def _recordings(seed: int, events: int) -> Iterator[Recording]:
    tracker = Tracker(SIZE * VOXEL_MM)
    gun = gun_from_text("mu-,200:320")
    for number in range(events):
        rng = np.random.default_rng([seed, number])
        yield tracker.event(1 + number, shoot(rng, SIZE * VOXEL_MM / 2, (gun,), 0.9))


def _budget(recording: Recording, mode: Mode) -> dict[str, float]:
    """Return energies (MeV) and lengths (cm) on the plateau of one muon; nothing if it does not stop inside."""
    deposits, tracks = recording.deposits, recording.tracks
    half, muon = SIZE * VOXEL_MM / 2, tracks[0]
    own = deposits["track"] == muon["id"]
    path = MM_TO_CM * np.cumsum(np.linalg.norm(deposits["end"][own] - deposits["start"][own], axis=1))
    if np.abs(muon["end"]).max() > half - 50 or path[-1] < FAR + 2 * NEAR_START:
        return {}
    middles = MM_TO_CM * (deposits["start"][own] + deposits["end"][own]) / 2
    tree, left = cKDTree(middles), path[-1] - path

    def inside(points: np.ndarray) -> np.ndarray:
        place = left[tree.query(points)[1]]
        return (place > FAR) & (place < path[-1] - NEAR_START)

    family = families(tracks, recording.processes, mode)
    image = make_image(deposits, tracks, family, SIZE, mode)
    number = int(image.track_instances[0])
    after = _after_the_end(recording)[rows_of(tracks["id"], deposits["track"])]
    chosen = inside(MM_TO_CM * (deposits["start"] + deposits["end"]) / 2) & ~after
    mine = chosen & (image.deposit_instances == number)
    energy = deposits["energy"]
    voxel = image.instances == number
    positions = (unflatten(image.voxels, (SIZE,) * 3) + 0.5) * VOXEL_MM * MM_TO_CM - half * MM_TO_CM
    length = float(path[-1] - NEAR_START - FAR)
    table = kinetic_energy(np.array([path[-1] - NEAR_START, FAR]), "muon")
    in_voxels = float(image.energies[voxel & inside(positions)].sum())
    return {
        "length": length,
        "tables": float(table[0] - table[1]),
        "deposited": float(energy[chosen].sum()),
        "others": float(energy[chosen & ~mine].sum()),
        "own": float(energy[mine].sum()),
        "below": _below(image, positions, inside, energy[chosen].sum()),
        "voxels": in_voxels,
        **_reconstructed(image, number, MM_TO_CM * muon["start"], path[-1]),
    }


def _after_the_end(recording: Recording) -> np.ndarray:
    """Tell which tracks come from the muon's decay or capture."""
    tracks = recording.tracks
    parents = rows_of(tracks["id"], tracks["parent"])
    late = np.char.find(np.array(recording.processes)[tracks["process"]].astype(str), "Decay") >= 0
    late |= np.char.find(np.array(recording.processes)[tracks["process"]].astype(str), "Capture") >= 0
    for row in range(len(tracks)):
        late[row] |= parents[row] >= 0 and late[parents[row]]
    return late


def _below(image: Image, positions: np.ndarray, inside: object, deposited: float) -> float:
    """Return the energy on the plateau that is in no voxel."""
    return float(deposited - image.energies[inside(positions)].sum())  # type: ignore[operator]


def _reconstructed(image: Image, number: int, start: np.ndarray, length: float) -> dict[str, float]:
    event = {
        "coordinates": unflatten(image.voxels, (SIZE,) * 3).astype(np.int32),
        "energies": rounded(image.energies),
        "semantics": image.classes[image.instances].astype(np.int8),
        "fragments": image.instances.astype(np.int32),
        "image_shape": np.full((1, 3), SIZE),
        "image_origin": np.full((1, 3), -SIZE * VOXEL_MM * MM_TO_CM / 2),
        "voxel_size": np.full((1, 3), VOXEL_MM * MM_TO_CM),
    }
    tables = ParticleBuilder()(event, PILARNET)
    particles, steps = tables["particles"], tables["track_dedx"]
    one = particles[particles["particle"] == number][0]
    steps = steps[steps["particle"] == number]
    from_start, from_end = (np.linalg.norm(vectors_of(one[None], name)[0] - start) for name in ("start", "end"))
    ahead = steps["residual_range"] if from_start < from_end else steps["distance"]
    chosen = (ahead > FAR) & (ahead < one["length"] - NEAR_START)
    deltas = (particles["parent"] == number) & (particles["semantic"] == PILARNET.number("Delta"))
    return {
        "steps": float((steps["dedx"] * steps["width"])[chosen].sum()),
        "steps_length": float(steps["width"][chosen].sum()),
        "deltas": float(particles["energy"][deltas].sum()) * (length - FAR) / length,
        "path": float(length),
        "reconstructed_path": float(one["length"]),
    }


def _table(found: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> str:
    lines = [
        "# The energy of a muon on its plateau",
        "",
        "Written by `python -m benchmarks.physics.energy_budget "
        f"--events {arguments.events} --seed {arguments.seed}` on {datetime.date.today().isoformat()}: muons of 200 to "
        f"320 MeV that stop inside, from {FAR:g} cm before the end to {NEAR_START:g} cm after the start; MeV/cm, with "
        "the error of the mean over muons.",
        "",
        "| | " + " | ".join(f"{name} ({len(rows)} muons)" for name, rows in found.items()) + " |",
        "|---|" + "---|" * len(found),
    ]
    for text, key in ROWS:
        cells = [_ratio(rows, key, "steps_length" if key == "steps" else "length") for rows in found.values()]
        lines.append(f"| {text} | {' | '.join(cells)} |")
    cells = [_ratio(rows, "reconstructed_path", "path", 4) for rows in found.values()]
    lines.append(f"| reconstructed length over true path | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _ratio(rows: list[dict[str, float]], above: str, below: str, digits: int = 3) -> str:
    """Return a ratio of sums with its error."""
    a, b = (np.array([row[name] for row in rows]) for name in (above, below))
    ratio = a.sum() / b.sum()
    return f"{ratio:.{digits}f} ± {np.sqrt(((a - ratio * b) ** 2).sum()) / b.sum():.{digits}f}"


if __name__ == "__main__":
    main()
