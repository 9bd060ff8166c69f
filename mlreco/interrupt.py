"""Signals that end a run after the current iteration, and SIGTERM, after which unfinished files are removed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

SAVED = 75
"""Exit status of a training that a batch system ended and that ``--resume`` continues (EX_TEMPFAIL: try again)."""

_NOTED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_process_ends = False
"""Whether the process ends with the block of `ending_on_sigterm` that is running."""


class Stopped(KeyboardInterrupt):
    """The end of a run that a batch system asked for, after everything was saved.

    Attributes:
        exit_status: of the process.
    """

    exit_status = SAVED


class Interruption:
    """Context in which SIGINT, SIGTERM and SIGUSR1 are only noted; a second SIGINT interrupts at once.

    Batch systems may send SIGTERM several times, to the process and to its group: these count as one, also after the
    end of the context where the process is about to leave with its exit status. Elsewhere, as in a notebook, every
    signal has its former meaning again at the end of the context.

    Args:
        also: another reason to end, asked whenever it is asked whether a signal has come.
    """

    def __init__(self, also: Callable[[], bool] = lambda: False) -> None:
        self._noted, self._also = False, also
        self._by_hand = False
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    def __enter__(self) -> Interruption:
        for number in _NOTED:
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:
                break  # signals can be handled in the main thread alone
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if _process_ends and self._noted and number != signal.SIGINT:
                signal.signal(number, signal.SIG_IGN)  # a function would not outlast the end of the interpreter
            else:
                signal.signal(number, handler)

    @property
    def requested(self) -> bool:
        """Whether the run is to end: a signal has come, or there is the other reason."""
        return self._noted or self._also()

    def stop(self, text: str) -> KeyboardInterrupt:
        """Return what to raise once everything is saved.

        Args:
            text: what was saved.
        """
        return KeyboardInterrupt(text) if self._by_hand else Stopped(text)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._by_hand:
                raise KeyboardInterrupt
            self._by_hand = True
        self._noted = True


class Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems send it."""


@contextlib.contextmanager
def ending_on_sigterm(process_ends: bool = False) -> Iterator[None]:
    """Raise `Terminated` on SIGTERM within the block, which would end the process at once and leave its files behind.

    An `Interruption` within comes first. In another thread than the main one the block changes nothing.

    Args:
        process_ends: whether the process ends after the block: a SIGTERM that has come then stays ignored, since batch
            systems send it again and the exit status is to tell what happened.
    """
    global _process_ends
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    is_ending = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal is_ending
        is_ending = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # batch systems send it again; the end is on its way
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    outer, _process_ends = _process_ends, process_ends
    try:
        yield
    except Exception as error:  # code that the signal came into may have raised something else instead
        if is_ending:
            raise Terminated from error
        raise
    finally:
        _process_ends = outer
        if not process_ends or signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, before)
