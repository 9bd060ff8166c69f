"""Validation in a process of its own, with its own copy of the weights, while the training goes on."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch

from mlreco.errors import UserError
from mlreco.iotools.workers import WaitEnded
from mlreco.pipes import pipes_of

_ROOT = Path(__file__).resolve().parents[2]
_POLL = 0.5
"""Seconds between two checks whether a wait is to end."""


class BackgroundValidator:
    """Validates checkpoints, one after another, in a process that is started for the first one.

    The process computes on the CPU, with the cores that the threads of the training leave, at least one.

    Args:
        config: the whole configuration.
        processes: how many train on this machine.
    """

    def __init__(self, config: Mapping[str, Any], processes: int = 1) -> None:
        self._config = config
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = max(1, cores - processes * torch.get_num_threads())
        self._worker: subprocess.Popen | None = None

    def begin(self, checkpoint: Path) -> None:
        """Begin the validation of a checkpoint; the numbers of the one before must have been fetched.

        Raises:
            UserError: the process has ended.
        """
        worker = self._running()
        try:
            _send(pipes_of(worker)[0], str(checkpoint))
        except BrokenPipeError:
            raise self._died() from None

    def numbers(self, ended: Callable[[], bool]) -> dict[str, float]:
        """Wait for the numbers of the validation that was begun.

        Args:
            ended: called while it waits; returns whether to stop.

        Raises:
            WaitEnded: ``ended`` returned True.
            UserError: an event cannot be read, or the process has ended.
        """
        while not self.has_come(_POLL):
            if ended():
                raise WaitEnded
        try:
            answer = pickle.load(pipes_of(self._running())[1])
        except (EOFError, pickle.UnpicklingError):
            raise self._died() from None
        if answer["mistake"]:
            raise UserError(answer["mistake"])
        return answer["numbers"]

    def has_come(self, seconds: float = 0.0) -> bool:
        """Tell whether numbers have arrived, after waiting at most so many seconds."""
        return bool(select.select([pipes_of(self._running())[1]], [], [], seconds)[0])

    def close(self) -> None:
        """End the process."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            worker.wait()
            for pipe in pipes_of(worker):
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _running(self) -> subprocess.Popen:
        if self._worker is None:
            path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
            threads = {"OMP_NUM_THREADS": str(self._threads), "OPENBLAS_NUM_THREADS": "1"}
            self._worker = subprocess.Popen(
                [sys.executable, "-c", "from mlreco.training.background import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **threads, "PYTHONPATH": path},
                start_new_session=True,  # signals to the process group are for the training
            )
            _send(pipes_of(self._worker)[0], self._config)
        return self._worker

    def _died(self) -> UserError:
        """Return an error with the way in which the process ended."""
        code = self._running().wait()
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return UserError(f"trainval.validation: the process that validates in the background has ended ({how})")


def serve() -> None:
    """Read a configuration, then names of checkpoints, and answer each with its numbers; main of the process."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints must not disturb the protocol on stdout
    parent = os.getppid()
    config = pickle.load(sys.stdin.buffer)
    with contextlib.suppress(EOFError), contextlib.ExitStack() as stack:
        validate = None
        while True:
            checkpoint = Path(pickle.load(sys.stdin.buffer))
            answer: dict[str, Any] = {"mistake": "", "numbers": {}}
            try:
                validate = validate or _validation(config, stack)
                answer["numbers"] = validate(checkpoint, lambda: os.getppid() != parent)
            except WaitEnded:
                return
            except UserError as error:
                answer["mistake"] = str(error)
            _send(answers, answer)


def _validation(
    config: Mapping[str, Any], stack: contextlib.ExitStack
) -> Callable[[Path, Callable[[], bool]], dict[str, float]]:
    """Return a function that validates a checkpoint with a network of its own on the CPU."""
    from mlreco.checkpoints import read_checkpoint
    from mlreco.models.chain import Chain
    from mlreco.models.weights import load_state
    from mlreco.training.validation import Validator

    chain = Chain.from_config(config["model"])
    validator = Validator(config, chain.make_loss(config["trainval"]["loss_weights"]))
    stack.callback(validator.close)

    def validate(checkpoint: Path, ended: Callable[[], bool]) -> dict[str, float]:
        load_state(chain, read_checkpoint(checkpoint)["state_dict"], str(checkpoint))
        return validator.numbers(chain, ended)

    return validate


def _send(pipe: IO[bytes], message: Any) -> None:
    pickle.dump(message, pipe, protocol=5)
    pipe.flush()
