"""Bias of the class scores of a chain, fitted: ``python -m benchmarks.physics.class_bias OUTPUT.h5 [OUTPUT.h5]``.

The files are outputs of a chain with truth, of events that `benchmarks.physics` is not run on. With the factor of a
class, half of its particles are expected to have more energy than the true particles that they match. The table goes to
``benchmarks/results/class_bias.md``.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from mlreco.analysis.events import scheme_of
from mlreco.atomic import write_text
from mlreco.errors import UserError
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.particles.grouping import ParticleVoxels, group_voxels
from mlreco.particles.image import LabelledImage
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.particles.sharing import expected_energies
from mlreco.semantics import ClassScheme

RESULT = Path(__file__).resolve().parents[1] / "results" / "class_bias.md"
CLASSES = ("Delta", "Michel")
LEAST_IOU = 0.3
"""Particles that share less with the true one are other particles."""
BOUND = 8.0
"""The logarithm of a factor is looked for up to this."""
STEP = 0.3
"""Half the difference of logarithms over which a slope is taken."""
MEDIAN_ERROR = np.sqrt(np.pi / 2)
"""Error of a median over that of a mean, of a normal distribution."""


class Energies(NamedTuple):
    """Of particles of a class: energy of the voxels of the true one, of its own, and expected; MeV."""

    true: np.ndarray
    seen: np.ndarray
    expected: np.ndarray


class _Event(NamedTuple):
    """What expected energies need of K particles; their energies and those of true ones, NaN where none matches."""

    voxels: ParticleVoxels
    parents: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    seen: np.ndarray
    true: np.ndarray


def main() -> None:
    """Fit the bias of all chains and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics.class_bias", description=__doc__.split("\n")[0])
    parser.add_argument("outputs", type=Path, nargs="+", metavar="OUTPUT.h5", help="outputs of chains, with truth")
    rows = [row for path in parser.parse_args().outputs for row in _rows(path)]
    day = datetime.date.today().isoformat()
    text = "\n".join(
        [
            "# Bias of class scores\n",
            f"Written by `python -m benchmarks.physics.class_bias` on {day}: the `class_bias` with which half of the",
            "particles are expected to have more energy than the true ones that they match. Those with a parent count;",
            "their number is in parentheses.",
            "Energy over that of the voxels of the true particle: median and half the central 68 %.\n",
            "| file | class | class_bias | energy of the voxels | expected energy |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    write_text(RESULT, text)
    print(text)


def _rows(path: Path) -> Iterator[str]:
    with HDF5Reader(path) as reader:
        scheme = scheme_of(reader)
        events = [_event(reader[index], scheme) for index in range(len(reader))]
    bias, errors = np.ones(len(scheme)), {}
    for name in CLASSES:
        number = scheme.number(name)

        def off(value: float, number: int = number) -> np.ndarray:
            bias[number] = np.exp(value)
            found = energies(events, bias, number)
            return found.expected - found.true

        value, errors[name] = _root(off)
        bias[number] = np.exp(value)
    for name in CLASSES:
        number = scheme.number(name)
        found = energies(events, bias, number)
        yield (
            f"| {path.stem} | {name} ({len(found.true)}) | {np.log(bias[number]):.2f} ± {errors[name]:.2f} | "
            f"{_spread(found.seen / found.true)} | {_spread(found.expected / found.true)} |"
        )


def _root(off: Callable[[float], np.ndarray]) -> tuple[float, float]:
    """Return where the median of a falling function is 0, and the error of that from the spread of its values."""

    def middle(value: float) -> float:
        return float(np.median(off(value)))

    low, high = middle(-BOUND), middle(BOUND)
    if not low > 0 > high:
        reason = f"energies are off by {low:.2f} to {high:.2f} MeV"
        raise UserError(f"no bias up to {BOUND:g} makes the energies right: {reason}")
    best = float(brentq(middle, -BOUND, BOUND, xtol=0.01))
    values = off(best)
    slope = (middle(best + STEP) - middle(best - STEP)) / (2 * STEP)
    spread = np.diff(np.percentile(values, [16, 84]))[0] / 2
    return best, abs(MEDIAN_ERROR * spread / np.sqrt(len(values)) / slope)


def energies(events: Sequence[_Event], bias: np.ndarray, number: int) -> Energies:
    """Return the energies of the particles of a class that have a parent and match a true one."""
    columns = []
    for event in events:
        chosen = (event.classes == number) & (event.parents >= 0) & np.isfinite(event.true)
        expected = expected_energies(event.voxels, event.parents, event.classes, event.scores, bias)
        columns.append(np.stack([event.true[chosen], event.seen[chosen], expected[chosen]]))
    return Energies(*np.concatenate(columns, axis=1))


def _event(event: dict[str, np.ndarray], scheme: ClassScheme) -> _Event:
    tables = event | ParticleBuilder()(event, scheme)
    particles, truth, matches = tables["particles"], tables["particles_true"], tables["matches"]
    image = LabelledImage.from_products(event, scheme)
    if image.scores is None or image.in_true_classes:
        raise UserError("particles were not made in classes by 'semantic_scores', in which a bias could be")
    voxels = group_voxels(image.coordinates, image.energies, image.instances, image.origin, image.voxel_size)
    parents = np.where(particles["parent"] >= 0, np.searchsorted(voxels.numbers, particles["parent"]), -1)
    same, true = matches["iou"] >= LEAST_IOU, np.full(len(matches), np.nan)
    true[same] = truth["energy"][np.searchsorted(truth["particle"], matches["match"][same])]
    return _Event(voxels, parents, particles["semantic"], image.scores, particles["energy"], true)


def _spread(ratios: np.ndarray) -> str:
    low, middle, high = np.percentile(ratios, [16, 50, 84])
    return f"{middle:.3f} ± {(high - low) / 2:.3f}"


if __name__ == "__main__":
    main()
