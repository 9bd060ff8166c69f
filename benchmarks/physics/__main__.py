"""Physics of simulated events, measured: ``python -m benchmarks.physics EVENTS.h5 --name thin``.

Particles are reconstructed from true instances, and with ``--chain`` also by a chain; the analyses of
``mlreco analyse`` compare them with the truth. The table goes to ``benchmarks/results/physics_NAME.md``, the numbers to
``physics_NAME.json``. The events must be others than those on which constants were fitted (seeds of ``shared``) and the
chain was trained.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import mlreco
from benchmarks.physics.true_instances import write_true_instances
from mlreco.analysis.run import analyse_file
from mlreco.analysis.statistics import Number
from mlreco.atomic import write_text

RESULTS = Path(__file__).resolve().parents[1] / "results"
NAMES = ("tracks", "range_energy", "dedx", "michel", "showers", "vertices", "efficiency")

Numbers = dict[str, list[Number]]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics", description=__doc__.partition("\n")[0])
    parser.add_argument("events", type=Path, metavar="EVENTS.h5", help="simulated events with labels")
    parser.add_argument(
        "--pi0", type=Path, metavar="FILE.h5", help="events of single pi0s, for the mass of photon pairs"
    )
    parser.add_argument("--chain", help="also reconstruct with this chain: a name, configuration or checkpoint")
    parser.add_argument("--first", type=int, metavar="N", help="use the first N events")
    parser.add_argument("--name", required=True, help="of the result")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        columns = {"true instances": measure_true(arguments, Path(folder))}
        if arguments.chain is not None:
            columns[f"chain {Path(arguments.chain).stem}"] = measure_chain(arguments, Path(folder))
    text = table(arguments, columns)
    write_text(RESULTS / f"physics_{arguments.name}.md", text)
    document = {
        column: {name: [asdict(one) for one in listed] for name, listed in found.items()}
        for column, found in columns.items()
    }
    write_text(RESULTS / f"physics_{arguments.name}.json", json.dumps(document, indent=1) + "\n")
    print(text)


def measure_true(arguments: argparse.Namespace, folder: Path) -> Numbers:
    """Return the numbers with true instances."""
    write_true_instances(arguments.events, folder / "true.h5", arguments.first)
    found = analyse_file(folder / "true.h5", folder, NAMES)
    if arguments.pi0 is not None:
        write_true_instances(arguments.pi0, folder / "pi0.h5", None)
        found |= analyse_file(folder / "pi0.h5", folder, ["pi0"])
    return found


def measure_chain(arguments: argparse.Namespace, folder: Path) -> Numbers:
    """Return the numbers of a chain."""
    chain = mlreco.Reconstructor.from_pretrained(arguments.chain)
    chain.reconstruct_file(arguments.events, folder / "chain.h5")
    found = analyse_file(folder / "chain.h5", folder, NAMES)
    if arguments.pi0 is not None:
        chain.reconstruct_file(arguments.pi0, folder / "chain_pi0.h5")
        found |= analyse_file(folder / "chain_pi0.h5", folder, ["pi0"])
    return found


def table(arguments: argparse.Namespace, columns: dict[str, Numbers]) -> str:
    """Return the numbers as Markdown."""
    today = datetime.date.today().isoformat()
    count = f"the first {arguments.first} events of " if arguments.first else ""
    lines = [
        f"# Physics: {arguments.name}",
        "",
        f"Written by `python -m benchmarks.physics` on {today} from {count}`{arguments.events.name}`"
        + (f" and `{arguments.pi0.name}`" if arguments.pi0 else "")
        + ". Uncertainties are statistical, 68 %; in parentheses the number of particles or events. The pages of "
        "`mlreco analyse` say what each number is of.",
        "",
        "| | | " + " | ".join(columns) + " | expected |",
        "|---|---|" + "---|" * len(columns) + "---|",
    ]
    first = next(iter(columns.values()))
    for name, listed in first.items():
        for place, number in enumerate(listed):
            cells = [_cell(found[name][place]) if name in found else "" for found in columns.values()]
            expected = f"{number.expected:.4g}" if number.expected == number.expected else ""
            lines.append(f"| {name if place == 0 else ''} | {number.name} | {' | '.join(cells)} | {expected} |")
    return "\n".join(lines) + "\n"


def _cell(number: Number) -> str:
    if number.value != number.value:
        return f"- ({number.count})"
    unit = f" {number.unit}" if number.unit else ""
    return f"{number.value:.4g} ± {number.error:.2g}{unit} ({number.count})"


if __name__ == "__main__":
    main()
