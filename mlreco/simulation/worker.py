"""What a process that simulates does; `process` starts it and speaks to it.

Geant4 keeps its state in the process, writes to the standard output, and may crash; so it has a process of its own.
Both sides pickle: options come first, then numbers of events; each is answered by an `Answer`. The end of the input is
the end of the process.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from mlreco.errors import UserError


@dataclass(frozen=True)
class Answer:
    """What a worker says.

    Attributes:
        content: the event, or None at the start.
        mistake: message of a `UserError`, if that is what happened.
        bug: traceback of any other exception.
    """

    content: Any = None
    mistake: str = ""
    bug: str = ""


def _answers(requests: BinaryIO) -> Iterator[Answer]:
    """Yield an answer for the options and for every number."""
    try:
        from mlreco.simulation.event import Simulator

        simulator = Simulator(pickle.load(requests))
        yield Answer()
        while True:
            try:
                number = pickle.load(requests)
            except EOFError:
                return
            yield Answer(simulator.event(number))
    except UserError as error:
        yield Answer(mistake=str(error))
    except Exception:
        yield Answer(bug=traceback.format_exc())


def main() -> None:
    """Answer until the input ends; Geant4's own clean-up is left out, for it frees what it does not own."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    try:
        for answer in _answers(sys.stdin.buffer):
            pickle.dump(answer, replies, protocol=5)
            replies.flush()
    finally:
        os._exit(0)
