"""``mlreco simulate -o OUT.h5``."""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.cli.options import not_negative, output_file, positive
from mlreco.console import remark, say
from mlreco.errors import UserError

if TYPE_CHECKING:
    from mlreco.simulation import Options

NAME = "simulate"
HELP = "simulate events with truth in liquid argon (Geant4) and write them as LArCV3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.h5", help="file to write")
    parser.add_argument("--events", type=positive, required=True, metavar="N", help="number of events")
    parser.add_argument("--seed", type=not_negative, required=True, metavar="N", help="of all random numbers")
    parser.add_argument(
        "--mode",
        metavar="MODE",
        help="thin (lines one voxel wide), fat (smeared charge), or thin,fat: both of the same events, in two files",
    )
    parser.add_argument("--first", type=not_negative, default=0, metavar="N", help="number of the first event (0)")
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (one a core); no effect on the events")
    parser.add_argument("--size", type=positive, metavar="N", help="voxels of 3 mm along each edge (512)")
    parser.add_argument("--vertex", type=_range, metavar="MIN:MAX", help="particles from the common vertex (2:8)")
    parser.add_argument("--rain", type=_range, metavar="MIN:MAX", help="other particles (1:9)")
    parser.add_argument(
        "--particles",
        action="append",
        metavar="NAME,MEV[,COUNT]",
        help="shoot these from one point instead: mu-,200 or pi0,100:800 or proton,50:400,1:3; may be repeated",
    )
    parser.add_argument(
        "--options", type=Path, metavar="FILE.yaml", help="file with what to simulate, as iotool.dataset.simulation"
    )
    parser.add_argument("--to", choices=("larcv3", "cache"), default="larcv3", help="compressed, or not, for training")
    parser.add_argument("--restart", action="store_true", help="begin anew instead of continuing what was interrupted")


def run(arguments: argparse.Namespace) -> None:
    """Simulate, and say how many events were written.

    Raises:
        UserError: a mistake in the options, Geant4 missing, a full disk; what is kept is told before.
    """
    from mlreco.iotools.partial import partial_folder
    from mlreco.simulation import output_paths, require_geant4, simulate

    require_geant4()
    options = _options(arguments)
    paths = output_paths(arguments.output, options.modes).values()
    for path in paths:
        output_file(path)
    workers = arguments.workers or len(os.sched_getaffinity(0))
    started = time.perf_counter()
    try:
        done = simulate(
            options,
            arguments.output,
            arguments.events,
            arguments.first,
            min(workers, arguments.events),
            arguments.to != "cache",
            arguments.restart,
        )
    except UserError:
        for path in paths:
            if partial_folder(path).exists():
                remark(f"{partial_folder(path)} keeps what is done; the same command continues, --restart begins anew")
        raise
    seconds = time.perf_counter() - started
    if done.continued:
        remark(f"continued after {done.continued} events")
    if done.deaths:
        remark(f"{done.deaths} processes died and were replaced; the events are the same")
    fresh = done.events - done.continued
    for mode, path in done.outputs.items():
        rate = f"{fresh / max(seconds, 1e-9):.3g} events/s, {done.voxels[mode] / max(fresh, 1):.0f} voxels an event"
        say(f"{path}: {done.events} {mode} events in {seconds:.1f} s ({rate})")


def _options(arguments: argparse.Namespace) -> Options:
    """Return what the file of options and those of the command line say, the latter last."""
    from mlreco.simulation import options_from_mapping
    from mlreco.yaml_reader import read_file, read_mapping

    path = arguments.options
    values = {} if path is None else read_mapping(read_file(path), str(path))[0]
    given = {name: getattr(arguments, name) for name in ("seed", "size", "vertex", "rain", "particles")}
    given["mode"] = None if arguments.mode is None else arguments.mode.split(",")
    values.update({name: value for name, value in given.items() if value is not None})
    return options_from_mapping(values, "simulate" if path is None else str(path))


def _range(text: str) -> tuple[int, int]:
    """Parse ``MIN:MAX``, or one number that is both."""
    found = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected a number or MIN:MAX, not '{text}'")
    return int(found[1]), int(found[2] or found[1])
