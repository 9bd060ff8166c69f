"""Reading events of the size of PILArNet's: rates on one core, the scaling over workers, memory over many events."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import children, event_files
from benchmarks.measurement import OURS, Measurement, Settings
from benchmarks.peers import event_readers
from benchmarks.subjects.memory import peak_megabytes
from benchmarks.timing import Contender, interleave
from mlreco.iotools import Loader, loader_factory, open_reader
from mlreco.iotools.interface import read_product

TITLE = "Reading events with smeared charge: four products of LArCV3, two of LArCV2; seconds are those of one event"
PRODUCTS = ("cluster3d_pcluster", "particle_pcluster", "sparse3d_pcluster", "sparse3d_pcluster_semantics")
ROOT_PRODUCTS = ("cluster3d_pcluster", "sparse3d_pcluster")
SCHEMA = {
    "input_data": {"parser": "parse_sparse3d", "args": {"sparse_event_list": [PRODUCTS[2]]}},
    "segment_label": {"parser": "parse_sparse3d", "args": {"sparse_event_list": [PRODUCTS[3]]}},
    "cluster_label": {
        "parser": "parse_cluster3d_clean_full",
        "args": {"cluster_event": PRODUCTS[0], "particle_event": PRODUCTS[1], "sparse_semantics_event": PRODUCTS[3]},
    },
}
_EVENTS, _MANY = 200, 10_000
_BEFORE = 500
"""Events after which the memory is taken for the first time: by then all buffers have been made."""


def measure(settings: Settings) -> Iterator[Measurement]:
    """Read whole files in turns; then batches by one and by two processes; then very many events."""
    events = 4 if settings.quick else _EVENTS
    size = event_files.mean_voxels()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packed = event_files.larcv3(folder / "packed.h5", events, compressed=True)
        plain = event_files.larcv3(folder / "plain.h5", events, compressed=False)
        contenders = []
        for case, path in (("LArCV3, compressed", packed), ("LArCV3, not compressed", plain)):
            contenders.append(Contender(case, OURS, _reading(path, PRODUCTS), size))
            contenders += [Contender(case, name, run, size) for name, run in event_readers.larcv3(path, PRODUCTS)]
        try:
            root = event_files.larcv2(folder / "events.root", events)
        except ImportError:
            root = None
        if root is not None:
            contenders.append(Contender("LArCV2", OURS, _reading(root, ROOT_PRODUCTS), size))
        for one in interleave(contenders, settings):
            whole = one.contender not in event_readers.PARTIAL
            yield replace(_an_event(one, events), compared=whole)
        if not settings.quick:
            yield from _workers(packed, events, size, settings)
            yield _memory(plain, _MANY)


def _reading(path: Path, products: tuple[str, ...]) -> Callable[[], None]:
    """Return what reads products of all events of a file."""
    reader = open_reader(path)

    def run() -> None:
        for index in range(len(reader)):
            for product in products:
                read_product(reader, index, product)

    return run


def _workers(path: Path, events: int, size: int, settings: Settings) -> Iterator[Measurement]:
    """Yield the time of batches, parsed and joined, by one and by two processes."""
    loaders = {count: _loader(path, count) for count in (1, 2)}
    case = "batches, parsed"
    contenders = [Contender(case, f"{count} processes", _pass(one), size, count) for count, one in loaders.items()]
    for one in interleave(contenders, settings):
        yield replace(_an_event(one, events), compared=False)
    for loader in loaders.values():
        loader.close()


def _loader(path: Path, workers: int) -> Loader:
    dataset = {"data_keys": [str(path)], "schema": SCHEMA}
    return loader_factory({"batch_size": 4, "num_workers": workers, "dataset": dataset}, train=False)


def _pass(loader: Loader) -> Callable[[], None]:
    def run() -> None:
        for _ in loader:
            pass

    return run


def _memory(path: Path, events: int) -> Measurement:
    """Return what the memory of a process grows by between event 500 and the last one."""
    printed, _ = children.run(["-m", "benchmarks.subjects.reading", str(path), str(events)])
    before, after = map(float, printed.split())
    note = f"{before:.0f} MB after {_BEFORE} events, {after:.0f} MB after {events:,}"
    return Measurement("memory that grows", OURS, 0, 1, (after - before,), unit="MB", note=note)


def _an_event(measured: Measurement, events: int) -> Measurement:
    values = tuple(value / events for value in measured.values)
    return replace(measured, values=values, note=f"{1 / min(values):.0f} events/s")


def _read_many(path: Path, events: int) -> None:
    """Read a file over and over again; print the peak of memory after some events and at the end."""
    reader = open_reader(path)
    found = []
    for number in range(events):
        for product in PRODUCTS:
            read_product(reader, number % len(reader), product)
        if number + 1 in (_BEFORE, events):
            found.append(peak_megabytes())
    sys.stdout.write(" ".join(map(str, found)))


if __name__ == "__main__":
    _read_many(Path(sys.argv[1]), int(sys.argv[2]))
