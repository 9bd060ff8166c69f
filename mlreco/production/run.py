"""A production: every file of a list through a chain, each into an output of its own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mlreco.config import Config
from mlreco.console import remark, say
from mlreco.errors import UserError
from mlreco.inference.reconstruction import Reconstruction
from mlreco.iotools.filekind import LARCV3, OUTPUT_FILE, PILARNET_M, ROOT_FILE, content_of
from mlreco.production.attempt import Maker, attempt
from mlreco.production.book import Book
from mlreco.production.folder import claim
from mlreco.production.identity import identity_of
from mlreco.production.inputs import Input, list_inputs
from mlreco.production.join import write_list
from mlreco.production.manifest import Done, Failed, Manifest, read_manifest
from mlreco.production.on_dask import Order, dask_engine
from mlreco.production.output import finished
from mlreco.production.shards import part_of, plan_of
from mlreco.reservation import reserved

RETRIES = 2
_PAUSE = 5.0
"""Seconds before files are tried again; twice as long each time."""
_FORMATS = (LARCV3, OUTPUT_FILE, PILARNET_M, ROOT_FILE)
_SELECTING = ("entry_range", "event_list", "skip_event_list")

Outcomes = Iterable[tuple[Input, Done | Failed]]


def produce(
    config: Config,
    folder: str | Path,
    *,
    weights: str | Path | None = None,
    shard: tuple[int, int] | None = None,
    retries: int = RETRIES,
    cluster: str | None = None,
) -> Manifest:
    """Reconstruct the files of a configuration, each into an output of its own name in a folder.

    Files that have an output are skipped. A file that cannot be reconstructed does not stop the others. The manifest is
    written while the production runs and when it ends, in whatever way.

    Args:
        config: a checked configuration.
        folder: where the outputs go; it is made.
        weights: checkpoint that comes before those that the configuration names.
        shard: number of a part of the files, counted from 1, and how many parts there are; all files if None.
        retries: how often a file is tried again after a failure that may be temporary.
        cluster: address of a dask scheduler, ``local`` or ``local:N``; this process alone if None.

    Returns:
        What became of the files.

    Raises:
        UserError: a mistake in the configuration or the list of files, the folder belongs to another production, or an
            output cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    weights = os.path.abspath(weights) if weights else None
    _refuse_selections(config)
    config = _without_iterations(config)
    inputs = list_inputs(config["iotool"]["dataset"].get("data_keys") or (), folder)
    mine = part_of(inputs, shard)
    _refuse_several_kinds(mine)
    reconstruction = Reconstruction(config, weights)
    identity = identity_of(config, reconstruction)
    maker = Maker(config, reconstruction, identity.fingerprint, folder)
    claim(folder, identity)
    plan = plan_of(inputs)
    if shard is not None:
        write_list(folder, plan, inputs)
    book = Book(folder, mine, identity.fingerprint, plan, shard)
    doing = "another process{owner} reconstructs these files into this folder"
    with reserved(folder / f".{book.path.stem}.lock", doing, "wait for it, or give it other files"), _kept(book):
        _pass_over(book, folder, identity.fingerprint)
        if cluster is None or not book.todo():
            _work(book, lambda files: ((one, attempt(one, maker)) for one in files), retries)
        else:
            order = Order(_reading_itself(config), weights, identity.fingerprint, folder)
            with dask_engine(cluster, order) as engine:
                _work(book, engine, retries)
    return book.manifest()


def _work(book: Book, engine: Callable[[Sequence[Input]], Outcomes], retries: int) -> None:
    """Reconstruct the files that are left, then try files with temporary failures again."""
    teller = _Teller(len(book.todo()))
    for one, outcome in engine(book.todo()):
        book.enter(one, outcome)
        teller.tell(one, outcome)
    for number in range(retries):
        again = book.worth_another_attempt()
        if not again:
            return
        pause = _PAUSE * 2**number
        remark(f"{_count(len(again), 'file')} tried again in {pause:g} s, {again[0].path} first")
        time.sleep(pause)
        teller = _Teller(len(again))
        for one, outcome in engine(again):
            book.enter(one, outcome)
            teller.tell(one, outcome)


@contextlib.contextmanager
def _kept(book: Book) -> Iterator[None]:
    """Write the manifest at the end, also where an error ends the block; that error is the one that is raised."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(UserError):
            book.write()
        raise
    book.write()


def _pass_over(book: Book, folder: Path, fingerprint: str) -> None:
    """Record the files that have their output.

    Raises:
        UserError: something else stands in the place of an output.
    """
    todo, checksums = book.todo(), _checksums(folder)
    for one in todo:
        done = finished(folder, one, fingerprint, checksums)
        if done is not None:
            book.enter(one, done)
    count = len(todo) - len(book.todo())
    if count:
        say(f"{folder}: {count} of {_count(len(todo), 'file')} done before")


def _checksums(folder: Path) -> dict[str, str]:
    """Return the checksums of outputs in the manifests of a folder; manifests that cannot be read are ignored."""
    found = {}
    for path in sorted(folder.glob("manifest*.json")):
        with contextlib.suppress(UserError):
            found.update({one.output: one.output_sha256 for one in read_manifest(path).done})
    return found


def _without_iterations(config: Config) -> Config:
    """Return a configuration that reads all events, also where its training had an end."""
    trainval = {**config["trainval"], "iterations": None, "epochs": None}
    return Config({**config, "trainval": trainval}, config.path, config.text, config.notices)


def _reading_itself(config: Config) -> Config:
    """Return a configuration without processes that read, which workers of a cluster may not have."""
    return Config(
        {**config, "iotool": {**config["iotool"], "num_workers": 0}}, config.path, config.text, config.notices
    )


def _refuse_selections(config: Config) -> None:
    """Refuse a configuration that reads a part of the events.

    Raises:
        UserError: it does; names the key.
    """
    dataset = config["iotool"]["dataset"]
    named = [f"iotool.dataset.{key}" for key in _SELECTING if dataset.get(key) is not None]
    if dataset.get("limit_num_files"):
        named.append("iotool.dataset.limit_num_files")
    if named:
        raise UserError(f"{named[0]} reads a part of the events, and --out-dir reconstructs all: leave it out")


def _refuse_several_kinds(inputs: Sequence[Input]) -> None:
    """Refuse files of different formats; those that cannot be read are of none, and fail in their turn.

    Raises:
        UserError: two files differ; names both.
    """
    first: tuple[Path, str] | None = None
    for one in inputs:
        with contextlib.suppress(UserError):
            kind = content_of(one.path)
            if kind not in _FORMATS:
                continue
            first = first or (one.path, kind)
            if kind != first[1]:
                break
    else:
        return
    raise UserError(f"{one.path} is {kind}, and {first[0]} is {first[1]}: one production has files of one kind")


class _Teller:
    """Prints the result of each file, one line each, and each warning once."""

    def __init__(self, total: int) -> None:
        self._number, self._total = 0, total
        self._told: set[str] = set()

    def tell(self, one: Input, outcome: Done | Failed) -> None:
        self._number += 1
        place = f"[{self._number}/{self._total}]"
        if isinstance(outcome, Failed):
            remark(f"{place} {one.path}: {outcome.kind}: {outcome.reason}")
            return
        for text in set(outcome.warnings) - self._told:
            remark(text)
            self._told.add(text)
        skipped = f", {len(outcome.skipped)} skipped" if outcome.skipped else ""
        say(f"{place} {outcome.output}: {outcome.events_out} events in {outcome.seconds:.1f} s{skipped}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
