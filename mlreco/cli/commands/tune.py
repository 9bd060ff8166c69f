"""``mlreco tune OUTPUT.h5``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.cli.events import chosen_events, event_slice
from mlreco.cli.options import not_negative, output_file
from mlreco.console import remark, say
from mlreco.errors import UserError

if TYPE_CHECKING:
    from mlreco.iotools import HDF5Reader
    from mlreco.post_processing.tuning import Search

NAME = "tune"
HELP = "search the thresholds of the clusterer that do best on the events of an output file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote, with labels")
    parser.add_argument(
        "-n",
        "--events",
        type=event_slice,
        default=slice(0, 100),
        metavar="N|A:B",
        help="the first N events, or events A to B - 1 (100)",
    )
    parser.add_argument(
        "--metric", default="ari", metavar="NAME", help="purity, efficiency, ari, ari_multi, ami or sbd (ari)"
    )
    parser.add_argument(
        "--min-voxels", type=not_negative, default=10, metavar="N", help="leave out smaller true instances (10)"
    )
    parser.add_argument(
        "--semantics",
        choices=("predicted", "true"),
        default="predicted",
        help="cluster in the classes of the file (predicted) or in the true ones",
    )
    clusterer = parser.add_mutually_exclusive_group()
    clusterer.add_argument("--clusterer", choices=("greedy", "linked", "graph"), help="which one (that of the file)")
    clusterer.add_argument("--baseline", metavar="NAME", help="tune this baseline instead, such as dbscan")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers, and those of the grid, too")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="for post_processing.greedy_clusterer.thresholds, or those of its peers (thresholds.yaml); for 'evaluate "
        "--baseline-values' (NAME.yaml)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Search, write what was found and print the table."""
    from mlreco.atomic import write_text
    from mlreco.iotools import HDF5Reader
    from mlreco.post_processing.baselines import baseline
    from mlreco.post_processing.factories import GRAPH, GREEDY, LINKED
    from mlreco.post_processing.tuning import tune, tune_baseline, tune_graph, tune_linked

    name = arguments.baseline
    if name is not None:
        baseline(name)
    output = output_file(arguments.output or Path(f"{name or 'thresholds'}.yaml"), arguments.file)
    with HDF5Reader(arguments.file) as reader:
        options = {
            "events": chosen_events(arguments.events, len(reader), arguments.file),
            "metric": arguments.metric,
            "min_voxels": arguments.min_voxels,
            "semantics": arguments.semantics,
        }
        found: Search
        if name is not None:
            found = tune_baseline(reader, name, **options)
        else:
            searches: dict[str, Callable[..., Search]] = {GREEDY: tune, LINKED: tune_linked, GRAPH: tune_graph}
            found = searches[_clusterer(reader, arguments.clusterer)](reader, **options)
    source = arguments.file.name
    if arguments.json is not None:
        write_text(output_file(arguments.json, arguments.file), found.to_json(source) + "\n")
    write_text(output, found.text(source))
    say(found.table())
    say(f"written to {output}")
    if name is None:
        say(f"mlreco recluster {arguments.file} -o NEW.h5 --thresholds {output}")


def _clusterer(reader: HDF5Reader, asked: str | None) -> str:
    """Return the name of the post-processor to tune: the one that is asked for, else that of the file.

    Raises:
        UserError: the file was clustered by another one, and nobody says which to tune.
    """
    from mlreco.post_processing.factories import GRAPH, GREEDY, LINKED, clusterers_of_file

    used = clusterers_of_file(reader.info)
    known = [name for name in used if name in (GREEDY, LINKED, GRAPH)]
    if asked is None:
        if not known:
            what = f"was clustered by {', '.join(used)}" if used else "does not tell by what it was clustered"
            raise UserError(f"{reader.path}: {what}; say --clusterer greedy, linked or graph")
        return known[0]
    chosen = {"greedy": GREEDY, "linked": LINKED, "graph": GRAPH}[asked]
    if known and chosen not in known:
        remark(f"{reader.path} was clustered by {known[0]}, not by {chosen}: 'before' are the defaults of the latter")
    return chosen
