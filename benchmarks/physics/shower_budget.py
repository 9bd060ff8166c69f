"""Where the energy of showers goes in chains: ``python -m benchmarks.physics.shower_budget OUTPUT.h5 [OUTPUT.h5]``.

The files are outputs of chains with truth. Of each contained primary electron or photon with a matching shower the
energy of its true voxels is followed: into that shower, into others, into particles of other classes, into none. The
table goes to ``benchmarks/results/shower_budget.md``.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlreco.analysis.sample import GOOD_IOU
from mlreco.analysis.subjects.showers import EDGES, FROM_WALL
from mlreco.atomic import write_text
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.particles.kinds import Kind, kinds_of
from mlreco.post_processing.predicted import predicted_instances
from mlreco.semantics import PILARNET

RESULT = Path(__file__).resolve().parents[1] / "results" / "shower_budget.md"
SMALL = 10
"""Particles of fewer voxels are small."""
REPEATS = 200

ROWS = {
    "own": "in the shower that matches",
    "small": f"in other showers of fewer than {SMALL} voxels",
    "large": "in larger ones",
    "Michel": "in Michel electrons",
    "Delta": "in delta electrons",
    "tracks": "in tracks",
    "none": "in no particle",
    "foreign": "of others, in the shower that matches",
    "energy": "energy of that shower",
}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics.shower_budget", description="See the module.")
    parser.add_argument("outputs", type=Path, nargs="+", metavar="OUTPUT.h5", help="outputs of chains, with truth")
    text = table({path.stem: budgets(path) for path in parser.parse_args().outputs})
    write_text(RESULT, text)
    print(text)


def budgets(path: Path) -> np.ndarray:
    """Return the parts of the energy of each shower over that of its true voxels, (S, len(ROWS))."""
    with HDF5Reader(path) as reader:
        return np.array([one for index in range(len(reader)) for one in _of_event(reader[index])])


def _of_event(event: dict[str, np.ndarray]) -> list[list[float]]:
    particles, truth, matches = event["particles"], event["particles_true"], event["matches"]
    kinds, found = kinds_of(particles["semantic"], PILARNET), event[predicted_instances(event)]
    true = truth[np.searchsorted(truth["particle"], matches["match"]).clip(max=len(truth) - 1)]
    chosen = (kinds == Kind.SHOWER) & (matches["iou"] > GOOD_IOU) & (true["primary"] == 1)
    chosen &= np.isin(np.abs(true["pdg"]), (11, 22)) & (true["kinetic_energy"] > EDGES[0])
    chosen &= particles["wall_distance"] > FROM_WALL
    row = np.append(np.full(int(found.max(initial=-1)) + 1, -1), -1)
    row[particles["particle"]] = np.arange(len(particles))
    place = row[found]
    groups = {
        "small": (kinds == Kind.SHOWER) & (particles["voxels"] < SMALL),
        "large": (kinds == Kind.SHOWER) & (particles["voxels"] >= SMALL),
        "Michel": kinds == Kind.MICHEL,
        "Delta": kinds == Kind.DELTA,
        "tracks": kinds == Kind.TRACK,
    }
    results = []
    for one in np.flatnonzero(chosen):
        mine = event["instances_true"] == true["particle"][one]
        energy = np.bincount(place[mine] + 1, event["energies"][mine].astype(np.float64), len(particles) + 1)
        whole, none, energy = energy.sum(), energy[0], energy[1:]
        parts = {"own": energy[one], "none": none, "energy": float(particles["energy"][one])}
        parts["foreign"] = parts["energy"] - parts["own"]
        energy[one] = 0
        parts |= {name: energy[own].sum() for name, own in groups.items()}
        results.append([parts[name] / whole for name in ROWS])
    return results


def table(columns: dict[str, np.ndarray]) -> str:
    """Return mean parts with their errors, and the median of the energy, as Markdown."""
    lines = [
        "# Where the energy of showers goes",
        "",
        f"Written by `python -m benchmarks.physics.shower_budget` on {datetime.date.today().isoformat()}: contained",
        f"primary electrons and photons above {EDGES[0]:g} MeV that a shower matches; means of parts of the energy",
        "of their true voxels, with the error of the mean.",
        "",
        "| | " + " | ".join(f"{name} ({len(parts)} showers)" for name, parts in columns.items()) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for place, text in enumerate(ROWS.values()):
        lines.append(f"| {text} | {' | '.join(_cell(parts[:, place], np.mean) for parts in columns.values())} |")
    last = list(ROWS).index("energy")
    medians = " | ".join(_cell(parts[:, last], np.median) for parts in columns.values())
    lines.append(f"| its median | {medians} |")
    return "\n".join(lines) + "\n"


def _cell(values: np.ndarray, statistic: Callable[[np.ndarray], float]) -> str:
    rng = np.random.default_rng(0)
    error = np.std([statistic(rng.choice(values, len(values))) for _ in range(REPEATS)])
    return f"{statistic(values):.3f} ± {error:.3f}"


if __name__ == "__main__":
    main()
