"""Signals that end a run: a training after the current iteration, other commands once unfinished files are removed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

SAVED = 75
"""Exit status of a training that a batch system ended and that ``--resume`` continues (EX_TEMPFAIL: try again)."""

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""With these batch systems warn or end a process, and a closed terminal or a limit on processor time does."""
_LEFT_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""Of these, those that stay ignored where whoever started the process has it so, as ``nohup``."""
_process_ends = False
"""Whether the process ends with the block of `ending_on_sigterm` that is running."""


class Stopped(KeyboardInterrupt):
    """The end of a run that a batch system asked for, after everything was saved.

    Attributes:
        exit_status: of the process.
    """

    exit_status = SAVED


def _handled() -> Iterator[signal.Signals]:
    """Yield the signals of ``ENDING`` that are not to stay ignored, nor handled by something else than Python."""
    for number in ENDING:
        handler = signal.getsignal(number)
        if handler is not None and (number not in _LEFT_IGNORED or handler is not signal.SIG_IGN):
            yield number


class Interruption:
    """Context in which SIGINT and the signals ``ENDING`` are only noted; a second SIGINT interrupts at once.

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
        for number in (signal.SIGINT, *_handled()):
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
    """A signal of ``ENDING``.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def ending_on_signals(process_ends: bool = False) -> Iterator[None]:
    """Raise `Terminated` on a signal of ``ENDING`` within the block; it would end the process at once and leave files.

    An `Interruption` within comes first. In another thread than the main one the block changes nothing.

    Args:
        process_ends: whether the process ends after the block: signals that have come then stay ignored, since batch
            systems send them again and the exit status is to tell what happened.
    """
    global _process_ends
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # batch systems send more of them; the end is on its way
        raise Terminated(number)

    before = {number: signal.getsignal(number) for number in _handled()}
    for number in before:
        signal.signal(number, end)
    outer, _process_ends = _process_ends, process_ends
    try:
        yield
    except Exception as error:  # code that the signal came into may have raised something else instead
        if came:
            raise Terminated(came[0]) from error
        raise
    finally:
        _process_ends = outer
        for number, handler in before.items():
            if not process_ends or signal.getsignal(number) is end:
                signal.signal(number, handler)
