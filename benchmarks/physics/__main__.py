"""Physics of simulated events, measured: ``python -m benchmarks.physics EVENTS.h5 --name thin --chain thin``.

Particles are reconstructed from true instances, and with ``--chain`` also by a chain; the analyses of
``mlreco analyse`` compare them with the truth. The table goes to ``benchmarks/results/physics_NAME.md``, the numbers to
``physics_NAME.json``. The events must be others than those on which constants were fitted
(``python -m benchmarks.physics.constants``) and the chain was trained.

Columns that are not measured again stay: ``--chain thin --no-true`` replaces the one of the chain alone.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.physics.true_instances import write_true_instances
from benchmarks.program import mlreco
from mlreco.analysis.run import analyse_file
from mlreco.analysis.statistics import Number
from mlreco.atomic import write_text

RESULTS = Path(__file__).resolve().parents[1] / "results"
NAMES = ("tracks", "range_energy", "dedx", "michel", "showers", "vertices", "efficiency")

TRUE, CHAIN = "true instances", "chain"

Numbers = dict[str, list[Number]]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.physics", description=__doc__.partition("\n")[0])
    parser.add_argument("events", type=Path, metavar="EVENTS.h5", help="simulated events with labels")
    parser.add_argument(
        "--pi0", type=Path, metavar="FILE.h5", help="events of single pi0s, for the mass of photon pairs"
    )
    parser.add_argument(
        "--chain",
        help="also reconstruct with this chain: a name, configuration or checkpoint, or what it wrote: OUT.h5",
    )
    parser.add_argument("--no-true", action="store_true", help="keep the column of true instances as it is")
    parser.add_argument("--first", type=int, metavar="N", help="use the first N events")
    parser.add_argument("--name", required=True, help="of the result")
    arguments = parser.parse_args()
    if arguments.pi0 is not None and Path(arguments.chain or "").suffix == ".h5":
        parser.error(f"--pi0 {arguments.pi0}: {arguments.chain} has no such events; give a chain, not its output")
    result = RESULTS / f"physics_{arguments.name}.json"
    columns = read_columns(result) if result.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.no_true:
            columns = {TRUE: measure_true(arguments, Path(folder))} | {k: v for k, v in columns.items() if k != TRUE}
        if arguments.chain is not None:
            columns[CHAIN] = measure_chain(arguments, Path(folder))
    document = {
        column: {name: [asdict(one) for one in listed] for name, listed in found.items()}
        for column, found in columns.items()
    }
    write_text(result, json.dumps(document, indent=1) + "\n")
    text = table(arguments, columns)
    write_text(RESULTS / f"physics_{arguments.name}.md", text)
    print(text)


def read_columns(path: Path) -> dict[str, Numbers]:
    """Return the columns that were written before."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        column: {name: [Number(**one) for one in listed] for name, listed in found.items()}
        for column, found in document.items()
    }


def measure_true(arguments: argparse.Namespace, folder: Path) -> Numbers:
    """Return the numbers with true instances."""
    write_true_instances(arguments.events, folder / "true.h5", arguments.first)
    found = analyse_file(folder / "true.h5", folder, NAMES)
    if arguments.pi0 is not None:
        write_true_instances(arguments.pi0, folder / "pi0.h5", None)
        found |= analyse_file(folder / "pi0.h5", folder, ["pi0"])
    return found


def measure_chain(arguments: argparse.Namespace, folder: Path) -> Numbers:
    """Return the numbers of a chain, or of the file that it wrote."""
    if Path(arguments.chain).suffix == ".h5":
        return analyse_file(arguments.chain, folder, NAMES)
    selection = [] if arguments.first is None else ["-n", str(arguments.first)]
    found = analyse_file(_reconstructed(arguments.chain, arguments.events, folder, selection), folder, NAMES)
    if arguments.pi0 is not None:
        found |= analyse_file(_reconstructed(arguments.chain, arguments.pi0, folder, []), folder, ["pi0"])
    return found


def _reconstructed(chain: str, events: Path, folder: Path, options: list[str]) -> Path:
    output = folder / f"chain_{events.stem}.h5"
    mlreco("inference", chain, "-s", events, "-o", output, *options)
    return output


def table(arguments: argparse.Namespace, columns: dict[str, Numbers]) -> str:
    """Return the numbers as Markdown."""
    today = datetime.date.today().isoformat()
    count = f"the first {arguments.first} events of " if arguments.first else ""
    lines = [
        f"# Physics: {arguments.name}",
        "",
        f"Written by `python -m benchmarks.physics` on {today} from {count}`{arguments.events.name}`"
        + (f" and `{arguments.pi0.name}`" if arguments.pi0 else "")
        + (f"; the chain is `{Path(arguments.chain).name.removesuffix('.h5')}`" if arguments.chain else "")
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
    return f"{number.measured()} ({number.count})"


if __name__ == "__main__":
    main()
