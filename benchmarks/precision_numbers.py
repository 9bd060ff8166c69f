"""Compare clusterings in mixed precision with those in float32: ARI against the truth and against each other.

    python -m benchmarks.precision_numbers config/thin.cfg config/fat.cfg [--source EVENTS.h5] -o FILE.md

runs each configuration, a chain with a fragment graph, with ``trainval.amp`` off, fp16 and bf16 and writes a table.
Without a GPU (``--gpus``) the rounding of operands and results is the same, the order of sums is not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.program import mlreco
from mlreco.atomic import write_text
from mlreco.iotools import HDF5Reader
from mlreco.post_processing.metrics import adjusted_rand_index

AMP = ("off", "fp16", "bf16")


def agreement(first: Path, second: Path) -> float:
    """Return the mean over events of the ARI between the instances of two output files."""
    with HDF5Reader(first) as a, HDF5Reader(second) as b:
        pairs = zip(a, b, strict=True)
        return float(np.mean([adjusted_rand_index(x["instances"], y["instances"]) for x, y in pairs]))


def rows(config: Path, arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Return the rows of the table that belong to a configuration."""
    lines, truth = [], {}
    for amp in AMP:
        output, numbers = folder / f"{config.stem}_{amp}.h5", folder / f"{config.stem}_{amp}.json"
        words = [
            "inference",
            config,
            "-o",
            output,
            "--set",
            f"trainval.amp={amp}",
            "--set",
            f"trainval.gpus={arguments.gpus}",
        ]
        mlreco(*words, *(["-s", arguments.source] if arguments.source else []))
        mlreco("evaluate", output, "--json", numbers)
        summary = json.loads(numbers.read_text())["all"]
        truth[amp] = summary["ari"]
        same = agreement(folder / f"{config.stem}_off.h5", output)
        cells = [config.name, str(summary["events"]), amp, f"{truth[amp]:.4f}", f"{truth[amp] - truth['off']:+.4f}"]
        lines.append(f"| {' | '.join([*cells, f'{same:.4f}'])} |")
    return lines


def main() -> None:
    """Run the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", type=Path, nargs="+", help="chains with weights")
    parser.add_argument("--source", type=Path, help="events, if not those of the configurations")
    parser.add_argument("--gpus", default="", help="as trainval.gpus")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = [row for config in arguments.configs for row in rows(config, arguments, Path(folder))]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    device = f"GPU {arguments.gpus}" if arguments.gpus else "a CPU"
    head = [
        "# Mixed precision beside float32",
        "",
        f"Written by `python -m benchmarks.precision_numbers` on {today}, on {device}. ARI: mean over events, all "
        "classes.",
        "",
        "| configuration | events | amp | ARI with the truth | difference | ARI with those of float32 |",
        "|---|---|---|---|---|---|",
    ]
    write_text(arguments.output, "\n".join([*head, *table, ""]))


if __name__ == "__main__":
    main()
