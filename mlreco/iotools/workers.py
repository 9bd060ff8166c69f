"""The worker processes of a loader: their signals, waiting for them, and their end."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from mlreco.errors import UserError
from mlreco.interrupt import ENDING

POLL = 2
"""Seconds between two checks whether the workers live and whether the wait is to end."""
LONGEST_WAIT = 900.0
"""Seconds after which a batch is given up."""


class WaitEnded(Exception):
    """The wait for a batch was ended from outside."""


def leave_signals_to_the_main_process(worker: int) -> None:
    """Let a worker go on when Ctrl-C or a batch system reaches the whole process group.

    The main process saves first and ends its workers then.
    """
    for number in (signal.SIGINT, *ENDING):
        signal.signal(number, signal.SIG_IGN)


def received(loader: DataLoader, ended: Callable[[], bool]) -> Iterator[Any]:
    """Yield the batches of a torch loader, without waiting for ever.

    Args:
        loader: with a ``timeout`` of ``POLL`` where it has workers.
        ended: called while it waits; returns whether to stop.

    Raises:
        WaitEnded: it was.
        UserError: a worker has ended, or nothing came for ``LONGEST_WAIT``.
    """
    with _childrens_ends_ignored():
        items = iter(loader)
    while True:
        started = time.monotonic()
        while True:
            try:
                item = next(items)
                break
            except StopIteration:
                return
            except (OSError, EOFError) as error:
                if not _has_ended(getattr(items, "_workers", ())):
                    raise
                raise UserError(_killed(loader.num_workers)) from error  # the worker that had sent it is gone
            except RuntimeError as error:
                _judge(error, loader.num_workers, time.monotonic() - started, ended)
        yield item


def _has_ended(workers: Sequence[BaseProcess]) -> bool:
    """Whether a process has ended; one that was just killed may take a moment to end."""
    for worker in workers:
        worker.join(timeout=1.0)
    return not all(worker.is_alive() for worker in workers)


def _judge(error: RuntimeError, workers: int, waited: float, ended: Callable[[], bool]) -> None:
    """Return if the wait for a batch is to go on, and raise an error otherwise."""
    text = str(error)
    if "DataLoader worker" in text:
        raise UserError(_killed(workers)) from error
    if "DataLoader timed out" not in text:
        raise error
    if ended():
        raise WaitEnded from error
    if waited > LONGEST_WAIT:
        raise UserError(f"no batch of events came for {waited:.0f} s; {_remedy(workers)}") from error


def _killed(workers: int) -> str:
    return f"a process that reads events was killed; {_remedy(workers)}"


def _remedy(workers: int) -> str:
    return (
        f"{_available_memory()} of memory and {_shared_memory()} of shared memory (/dev/shm) are free: lower "
        f"iotool.num_workers, now {workers}, or iotool.batch_size; with 0 workers the main process reads"
    )


def _available_memory() -> str:
    with contextlib.suppress(OSError, ValueError, StopIteration), open("/proc/meminfo", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("MemAvailable:"))
        return f"{int(line.split()[1]) / 1e6:.1f} GB"
    return "an unknown amount"


def _shared_memory() -> str:
    try:
        return f"{shutil.disk_usage('/dev/shm').free / 1e6:.0f} MB"
    except OSError:
        return "an unknown amount"


@contextlib.contextmanager
def _childrens_ends_ignored() -> Iterator[None]:
    """Keep torch from raising, wherever the main process is, when a worker ends; :func:`received` notices it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before if before is not None else signal.SIG_DFL)


def end_workers(loader: DataLoader) -> None:
    """End the workers of a loader; its next iteration starts others.

    Torch has no public way to end persistent workers: it does so when their iterator, which the loader keeps in a
    private attribute, is collected. It also does not kill a worker that ignores SIGTERM while it reads.
    """
    iterator = loader._iterator
    loader._iterator = None
    if not isinstance(iterator, _MultiProcessingDataLoaderIter):
        return
    iterator._shutdown_workers()
    for worker in iterator._workers:
        if worker.is_alive():  # it ignores SIGTERM while it reads
            worker.kill()
