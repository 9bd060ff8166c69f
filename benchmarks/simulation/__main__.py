"""Write how simulated particles compare with published numbers.

    python -m benchmarks.simulation

Needs Geant4 (``pip install -e '.[simulate]'``). Results go to ``benchmarks/results/simulation.md`` and ``.json``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.simulation import samples
from benchmarks.simulation.samples import WIDTH_MM, Beams
from mlreco.atomic import write_text
from mlreco.particles.csda import csda_range
from mlreco.particles.liquid_argon import DENSITY, RADIATION_LENGTH
from mlreco.simulation.geant4 import require_geant4
from mlreco.simulation.geant4.tracker import Tracker

RESULTS = Path(__file__).resolve().parents[1] / "results" / "simulation.md"
SEED = 1_000
FREE_MUON_LIFE_NS = 2196.98
MICHEL_END_MEV, MICHEL_MEAN_MEV = 52.83, 36.98
HADRONIC = {"protonInelastic", "hadElastic", "pi+Inelastic", "pi-Inelastic"}
CRITICAL_MEV = 32.84
MOLIERE_CM = 9.04


@dataclass(frozen=True)
class Comparison:
    """A number, as simulated and as published.

    Attributes:
        quantity: what it is.
        unit: of all numbers.
        simulated: its value.
        statistical: its statistical uncertainty.
        published: the value in print.
        uncertainty: that of the published value, or of the rule that it is.
        source: where it stands.
    """

    quantity: str
    unit: str
    simulated: float
    statistical: float
    published: float
    uncertainty: float
    source: str

    @property
    def deviation(self) -> float:
        """Difference in units of both uncertainties."""
        return (self.simulated - self.published) / float(np.hypot(self.statistical, self.uncertainty))


def ranges(beams: Beams, scale: float) -> Iterator[Comparison]:
    """Compare the stopping power and the ranges of muons and protons."""
    lost = samples.stopping_power(beams.shoot("mu-", 300.0, round(200 * scale)), 20.0)
    groom = "Groom et al. 2001, 1 %"
    yield Comparison("muon, 300 MeV: mean dE/dx", "MeV/cm", *lost, 1.51 * DENSITY, 0.01 * 2.1, groom)
    for kinetic in (100.0, 300.0, 600.0):
        length = float(csda_range(kinetic, "muon"))
        got = samples.stopped_muon_range(beams.shoot("mu+", kinetic, round(100 * scale)))
        yield Comparison(f"muon, {kinetic:.0f} MeV: range", "cm", *got, length, 0.01 * length, groom)
    for kinetic in (50.0, 100.0, 200.0, 300.0):
        length = float(csda_range(kinetic, "proton"))
        got = samples.path_length(beams.shoot("proton", kinetic, round(200 * scale)), HADRONIC)
        yield Comparison(f"proton, {kinetic:.0f} MeV: range", "cm", *got, length, 0.015 * length, "NIST PSTAR, 1.5 %")


def showers(beams: Beams, scale: float) -> Iterator[Comparison]:
    """Compare the radiation length and the shape of showers."""
    gap, error = samples.free_path(beams.shoot("gamma", 20_000.0, round(2000 * scale), 40.0), "conv")
    length = (7 / 9 * gap, 7 / 9 * error)
    yield Comparison("radiation length (conversion of 20 GeV photons)", "cm", *length, RADIATION_LENGTH, 0.2, "PDG")
    inside, depth = samples.shower_shape(beams.shoot("e-", 1000.0, round(160 * scale)), MOLIERE_CM)
    rule = "PDG: 0.9 in a Molière radius, broader where Z is low"
    yield Comparison("1 GeV electron: energy within 9.04 cm of the axis", "", *inside, 0.90, 0.05, rule)
    expected = float(np.log(1000 / CRITICAL_MEV) - 0.5)
    rule = "PDG: ln(E/32.84 MeV) - 0.5, 0.5"
    yield Comparison("1 GeV electron: depth of the maximum", "X0", *depth, expected, 0.5, rule)


def weak(beams: Beams, scale: float) -> Iterator[Comparison]:
    """Compare decays."""
    energies, times, _ = samples.decays(beams.shoot("mu+", 40.0, round(2000 * scale)), "Decay", -11)
    largest, average = (float(energies.max()), 0.1), samples.mean(energies)
    yield Comparison("positrons of stopped mu+: largest energy", "MeV", *largest, MICHEL_END_MEV, 0.1, "Michel")
    yield Comparison("positrons of stopped mu+: mean energy", "MeV", *average, MICHEL_MEAN_MEV, 0.1, "Michel")
    yield Comparison("mu+: mean life", "ns", *samples.mean(times), FREE_MUON_LIFE_NS, 1.0, "PDG")
    energies, times, stopped = samples.decays(beams.shoot("mu-", 40.0, round(2000 * scale)), "muMinusCaptureAtRest", 11)
    suzuki = "537(32) ns: Suzuki et al. 1987"
    yield Comparison("mu- in argon: mean life", "ns", *samples.mean(times), 537.0, 32.0, suzuki)
    share = len(energies) / stopped
    error = float(np.sqrt(share * (1 - share) / stopped))
    life = 537 / FREE_MUON_LIFE_NS
    yield Comparison("mu- in argon: share that decays", "", share, error, life, life * 32 / 537, "the two mean lives")
    energies, _, _ = samples.decays(beams.shoot("pi+", 30.0, round(300 * scale)), "Decay", -13)
    kinetic = energies - 105.66
    yield Comparison("muons of stopped pi+: kinetic energy", "MeV", *samples.mean(kinetic), 4.12, 0.01, "PDG")
    mass = samples.photon_pair_mass(beams.shoot("pi0", 300.0, round(200 * scale)))
    yield Comparison("photon pairs of pi0: invariant mass", "MeV", *mass, 134.98, 0.01, "PDG")


def nuclear(beams: Beams, scale: float) -> Iterator[Comparison]:
    """Compare the paths of hadrons to their first inelastic collision."""
    for particle, process, depth in (("proton", "protonInelastic", 119.7), ("pi+", "pi+Inelastic", 149.0)):
        got = samples.free_path(beams.shoot(particle, 3000.0, round(1000 * scale), 100.0), process)
        source = "PDG, at high energies, 10 %"
        expected = depth / DENSITY
        yield Comparison(
            f"{particle}, 3 GeV: path to an inelastic collision", "cm", *got, expected, 0.1 * expected, source
        )


def table(comparisons: list[Comparison], version: str) -> str:
    """Return the comparison as Markdown."""
    today = datetime.date.today().isoformat()
    lines = [
        "# Simulated particles and published numbers",
        "",
        f"Written by `python -m benchmarks.simulation` on {today} with geant4-pybind {version}. The deviation is in",
        "units of both uncertainties together; that of a published number that is a rule is how far the rule holds.",
        "",
        "| quantity | unit | simulated | published | source | deviation |",
        "|---|---|---|---|---|---|",
    ]
    for one in comparisons:
        simulated = f"{one.simulated:.5g} ± {one.statistical:.2g}" if one.statistical > 1e-9 else f"{one.simulated:.5g}"
        published = f"{one.published:.5g} ± {one.uncertainty:.2g}"
        lines.append(
            f"| {one.quantity} | {one.unit} | {simulated} | {published} | {one.source} | {one.deviation:+.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulate, compare, write, and end the process without Geant4's clean-up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="number of particles, in units of the usual ones")
    parser.add_argument(
        "-o", "--output", type=Path, default=RESULTS, help="Markdown file; numbers go beside it as JSON"
    )
    arguments = parser.parse_args()
    version = require_geant4()
    beams = Beams(Tracker(WIDTH_MM), SEED)
    parts = (ranges, showers, weak, nuclear)
    found = [one for part in parts for one in part(beams, arguments.scale)]
    write_text(arguments.output, table(found, version))
    numbers = [{**asdict(one), "deviation": one.deviation} for one in found]
    write_text(arguments.output.with_suffix(".json"), json.dumps(numbers, indent=1) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
