"""A production on the workers of a dask cluster, an existing one or processes of this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mlreco.config import Config
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.inference.reconstruction import Reconstruction
from mlreco.production.attempt import Maker, attempt, failure
from mlreco.production.identity import identity_of
from mlreco.production.inputs import Input
from mlreco.production.manifest import Done, Failed
from mlreco.provenance import host

LOCAL = "local"
_SECONDS = 15
"""Seconds that a scheduler may take to answer."""
_LOGS = (
    "distributed",
    "distributed.client",
    "distributed.nanny",
    "distributed.worker",
    "distributed.scheduler",
    "distributed.core",
    "tornado.application",
)
_STARTS = 3
"""How often the processes of this machine are started again if one dies at the start."""
_LOOK = 5.0
"""Seconds between two checks whether all have started."""


@dataclass(frozen=True)
class Order:
    """The data of a production that a worker needs.

    Attributes:
        config: a checked configuration.
        weights: checkpoint that comes before those that the configuration names.
        fingerprint: of the production.
        folder: the output folder, which all workers see under this name.
    """

    config: Config
    weights: str | Path | None
    fingerprint: str
    folder: Path


class DaskEngine:
    """Reconstructs files on the workers of a cluster.

    A worker that dies is replaced by the cluster, and its file given to another one.

    Args:
        client: connected to the scheduler.
        order: of the production.
    """

    def __init__(self, client: Any, order: Order) -> None:
        self._client, self._order = client, order

    def __call__(self, files: Sequence[Input]) -> Iterator[tuple[Input, Done | Failed]]:
        """Yield files as they are done, with their results.

        Raises:
            UserError: an output cannot be written, a worker is another program, or the scheduler is gone.
        """
        from distributed import as_completed

        run = uuid.uuid4().hex[:8]
        futures = {
            self._client.submit(reconstruct, self._order, one, key=f"mlreco-{run}-{one.place}", pure=False): one
            for one in files
        }
        try:
            for future in as_completed(futures, loop=self._client.loop):
                one = futures[future]
                yield one, self._outcome(future, one)
                future.release()
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone; then there is nothing to cancel
                self._client.cancel(list(futures), force=True)

    def _outcome(self, future: Any, one: Input) -> Done | Failed:
        from distributed import CancelledError, KilledWorker

        try:
            return future.result()  # waits where the worker died after it had answered: the file goes to another
        except KilledWorker:
            return failure(one, "transient", "the workers that had it died, several times")
        except UserError:
            raise
        except (CancelledError, OSError, TimeoutError) as error:
            address = self._client.scheduler.address if self._client.scheduler else "dask"
            raise UserError(f"the scheduler at {address} is gone; the same command goes on") from error
        except ModuleNotFoundError as error:
            raise UserError(f"a dask worker lacks the package '{error.name}': install mlreco there") from error
        except Exception as error:
            return failure(one, "bug", f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def dask_engine(address: str, order: Order) -> Iterator[DaskEngine]:
    """Connect to a cluster, or start one.

    Args:
        address: ``tcp://host:port`` of a scheduler, ``local`` or ``local:N`` for N processes of this machine.
        order: of the production.

    Raises:
        UserError: dask is not installed, the address has another form, or no scheduler answers there.
    """
    distributed = _import_distributed()
    found = re.fullmatch(r"local(?::([1-9]\d*))?", address)
    if not found and "://" not in address:
        raise UserError(f"--dask {address}: expected the address of a scheduler (tcp://host:8786), local or local:N")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        if found:
            address = stack.enter_context(_local_cluster(distributed, int(found[1] or os.cpu_count() or 1)))
        try:
            client = stack.enter_context(distributed.Client(address, timeout=_SECONDS, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            raise UserError(f"no dask scheduler answers at {address}") from error
        if not client.scheduler_info()["workers"]:
            remark(f"{address}: has no workers yet; waiting for them")
        yield DaskEngine(client, order)


def reconstruct(order: Order, one: Input) -> Done | Failed:
    """Reconstruct a file on a worker, one at a time in each process.

    Raises:
        UserError: this worker has other weights or another program; an output cannot be written.
    """
    with _one_at_a_time:
        maker = _makers.get(order.fingerprint)
        if maker is None:
            reconstruction = Reconstruction(order.config, order.weights)
            if identity_of(order.config, reconstruction).fingerprint != order.fingerprint:
                raise UserError(f"the dask worker on {host()} has another mlreco, or other weights under the same name")
            _makers.clear()
            maker = _makers[order.fingerprint] = Maker(
                order.config, reconstruction, order.fingerprint, order.folder, show_progress=False
            )
        return attempt(one, maker)


_one_at_a_time = threading.Lock()
_makers: dict[str, Maker] = {}
"""The chain of this worker, which is kept for the next file."""


@contextlib.contextmanager
def _local_cluster(distributed: ModuleType, workers: int) -> Iterator[Any]:
    """Give a cluster of processes of this machine; those that die are replaced, also where they die while they start.

    Raises:
        UserError: they cannot be started.
    """
    from tornado.ioloop import PeriodicCallback

    with _started(distributed, workers) as cluster:
        completing = PeriodicCallback(lambda: cluster.scale(workers), 1000 * _LOOK)
        cluster.loop.add_callback(completing.start)
        try:
            yield cluster
        finally:
            cluster.loop.add_callback(completing.stop)


def _started(distributed: ModuleType, workers: int, tries: int = _STARTS) -> Any:
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    try:
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            env={"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)},
        )
    except (OSError, RuntimeError) as error:
        if tries > 1:
            return _started(distributed, workers, tries - 1)
        why = error.__cause__ or error
        raise UserError(f"--dask {LOCAL}:{workers}: the processes cannot be started ({why}); take fewer") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence dask's messages about workers that die; the results of files are reported here."""
    loggers = [logging.getLogger(name) for name in _LOGS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _import_distributed() -> ModuleType:
    try:
        import distributed
    except ModuleNotFoundError:
        raise UserError(
            f"--dask needs the package 'distributed', which is not installed in {sys.executable}: "
            "pip install 'mlreco[dask]'"
        ) from None
    return distributed
