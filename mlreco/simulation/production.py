"""Writes simulated events to LArCV3 files."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mlreco.interrupt import Interruption
from mlreco.iotools.larcv3.layout import SCHEME_ATTRIBUTE
from mlreco.iotools.larcv3.writer import LIBRARY_VERSIONS, LArCV3Writer
from mlreco.iotools.partial import partial_hdf5
from mlreco.progress import Progress
from mlreco.semantics import PILARNET
from mlreco.simulation.geant4 import require_geant4
from mlreco.simulation.options import Options
from mlreco.simulation.pool import Pool
from mlreco.simulation.products import PRODUCER
from mlreco.version import __version__

_SECONDS_BETWEEN_WRITES = 5.0
"""About as much work is lost where a production is killed."""


@dataclass(frozen=True)
class Production:
    """The result of a production.

    Attributes:
        outputs: mode -> the file written.
        events: number of events in each file.
        continued: number of events that an interrupted production had written before.
        voxels: mode -> number of voxels of the events that were simulated now.
        deaths: worker processes that died and were replaced.
    """

    outputs: dict[str, Path]
    events: int
    continued: int
    voxels: dict[str, int]
    deaths: int


def output_paths(output: Path, modes: tuple[str, ...]) -> dict[str, Path]:
    """Return the file of each mode: ``output`` itself for one mode, ``NAME_MODE.h5`` for several."""
    if len(modes) == 1:
        return {modes[0]: output}
    return {mode: output.with_name(f"{output.stem}_{mode}{output.suffix}") for mode in modes}


def simulate(
    options: Options,
    output: str | Path,
    events: int,
    first: int = 0,
    workers: int = 1,
    compress: bool = True,
    restart: bool = False,
) -> Production:
    """Write events ``first`` to ``first + events - 1`` of the options' seed.

    Event id: run is the seed, subrun 0, event the number. A file appears when it is complete. Until then it is in the
    folder ``OUTPUT.part``; a production that was interrupted, also by the end of its process or a full disk, continues
    there when it is called again with the same options.

    Args:
        options: what is simulated.
        output: file to make; with several modes, see `output_paths`.
        events: number of events.
        first: number of the first event.
        workers: worker processes; the events do not depend on it.
        compress: False for a training cache.
        restart: begin anew where there is the beginning of a production.

    Raises:
        UserError: Geant4 is not installed or dies over an event, the disk is full, or there is the beginning of another
            production.
        KeyboardInterrupt: after what is done was made durable.
    """
    version = require_geant4()
    paths = output_paths(Path(output), options.modes)
    signature = {**options.plain(), "first": first, "events": events, "geant4": version, "compress": compress}
    with ExitStack() as stack:
        writers = {}
        for mode, path in paths.items():
            attributes = _attributes(options, mode, version)
            partial = partial_hdf5(path, LIBRARY_VERSIONS, {**signature, "mode": mode}, restart)
            writers[mode] = stack.enter_context(LArCV3Writer(path, compress, attributes, partial))
        continued = min(writer.num_events for writer in writers.values())
        counts, deaths = _write(options, writers, range(first + continued, first + events), first, workers)
    return Production(paths, events, continued, counts, deaths)


def _write(
    options: Options, writers: Mapping[str, LArCV3Writer], numbers: range, first: int, workers: int
) -> tuple[dict[str, int], int]:
    """Simulate events into the files that lack them; return voxels of each mode and deaths of workers."""
    counts = dict.fromkeys(writers, 0)
    done, written = numbers.start - first, time.monotonic()
    progress = Progress("simulate", total=done + len(numbers), initial=done)
    with Pool(options, workers) as pool, progress, Interruption() as interruption:
        for event in pool.events(numbers):
            for mode, writer in writers.items():
                products = event.products[mode]
                counts[mode] += len(products[f"sparse3d_{PRODUCER}"])
                if writer.num_events <= event.number - first:
                    writer.append((options.seed, 0, event.number), products)
            progress.advance()
            if time.monotonic() - written > _SECONDS_BETWEEN_WRITES:
                for writer in writers.values():
                    writer.flush()
                written = time.monotonic()
            if interruption.requested and event.number + 1 < numbers.stop:
                for writer in writers.values():
                    writer.flush(keep=True)
                total = done + len(numbers)
                raise KeyboardInterrupt(
                    f"{event.number + 1 - first} of {total} events are written; the same command continues"
                )
    return counts, pool.deaths


def _attributes(options: Options, mode: str, version: str) -> dict[str, str]:
    return {
        "mlreco_version": __version__,
        "generator": f"mlreco {__version__} with geant4-pybind {version}",
        "simulation": json.dumps({**options.plain(), "mode": mode}),
        SCHEME_ATTRIBUTE: PILARNET.name,
    }
