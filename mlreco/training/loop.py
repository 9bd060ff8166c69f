"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.interrupt import Interruption
from mlreco.iotools.collate import Batch
from mlreco.iotools.skipped import SHOWN
from mlreco.iotools.workers import WaitEnded
from mlreco.models.chain import ChainLoss
from mlreco.models.finite import not_finite
from mlreco.models.layers.precision import autocast
from mlreco.models.transfer import to_device
from mlreco.training.checkpoints import TrainingState, save_checkpoint
from mlreco.training.diverged import write_batch
from mlreco.training.parts import Shares, Terms, shares_of
from mlreco.training.prefix import checkpoint_path
from mlreco.training.report import Reporter
from mlreco.training.run_folder import describe_run
from mlreco.training.schedules import warm_up
from mlreco.training.step import optimize


@dataclass
class _Timer:
    """Seconds since the previous reading."""

    last: float = 0.0

    def lap(self) -> float:
        now = time.perf_counter()
        elapsed, self.last = now - self.last, now
        return elapsed


class Training:
    """The loop and what it works with.

    Args:
        config: the whole configuration.
        state: what changes; its model is trained.
        loss: what is minimised.
        loader: batches without end.
        iterations: when the training is complete.

    Raises:
        UserError: it is.
    """

    def __init__(
        self, config: Mapping[str, Any], state: TrainingState, loss: ChainLoss, loader: Any, iterations: int
    ) -> None:
        self.config = config
        self.trainval = config["trainval"]
        self.state = state
        self.chain = state.model
        self.device = next(self.chain.parameters()).device
        self.loss = loss.to(self.device)
        self.loader = loader
        self.iterations = iterations
        self._buffers = dict(self.chain.named_buffers())
        self._buffers_before: list[torch.Tensor] = []
        self._saved: Path | None = None
        self._told = 0
        if state.iteration >= iterations:
            raise UserError(
                f"nothing left to train: {state.iteration} iterations are done and {iterations} wanted; "
                f"raise trainval.iterations (--iterations)"
            )

    def run(self) -> Path:
        """Train to the end, or until a signal, and return the last checkpoint.

        Raises:
            UserError: damaged data, a loss or a gradient that is no number, a full disk.
            KeyboardInterrupt: after a checkpoint was saved.
        """
        self.chain.train()
        for text in self.loader.dataset.remarks:
            remark(text)
        told = self.trainval, self.state.iteration, self.iterations, self.state.reports
        with Interruption() as interruption, Reporter(*told) as reporter:
            describe_run(reporter.path, self.state)
            batches = self.loader.steps(lambda: interruption.requested)
            while self.state.iteration < self.iterations and not interruption.requested:
                try:
                    row = self._iterate(batches)
                except WaitEnded:
                    break
                reporter.record(row)
                self.state.reports = reporter.state()
                if self.state.iteration % self.trainval["checkpoint_step"] == 0:
                    self._save()
            saved = self._save()
        if self.state.skipped_steps:
            remark(f"{self.state.skipped_steps} of {self.state.iteration} steps were left out: fp16 overflowed")
        if self.state.iteration < self.iterations:
            raise interruption.stop(f"saved {saved} after {self.state.iteration} iterations")
        return saved

    def _tell_skipped(self) -> None:
        """Tell of events that were skipped for the first time; beyond a few only how many."""
        skipped = self.loader.skipped
        for one in skipped[self._told : SHOWN]:
            remark(f"skipped {one}")
        if len(skipped) > SHOWN >= self._told:
            remark("... further ones are only counted, in the column 'skipped' of the log")
        self._told = len(skipped)

    def _save(self) -> Path:
        """Write a checkpoint, unless it is there, and return its path."""
        path = checkpoint_path(self.trainval["weight_prefix"], self.state.iteration)
        if self._saved != path:
            save_checkpoint(path, self.state)
            self._saved = path
        return path

    def _save_at_fault(self) -> str:
        """Save the state before an iteration that failed, if anything was learned; return where it is."""
        if self.state.iteration > self.state.run.first_iteration:
            try:
                return f"saved {self._save()} after {self.state.iteration} iterations"
            except UserError as error:
                remark(str(error))
        return f"the last good weights are in {self._saved}" if self._saved else "no weights were saved"

    def _iterate(self, batches: Iterator[Sequence[Batch]]) -> dict[str, float]:
        """Train on one batch and return a row of the log."""
        timer = _Timer(time.perf_counter())
        self.state.batches = self.loader.state_dict()
        try:
            parts = next(batches)
        except UserError as error:
            raise UserError(f"{error}; {self._save_at_fault()}") from error
        self._tell_skipped()
        self._buffers_before = [buffer.clone() for buffer in self._buffers.values()]
        times = {"tio": timer.lap(), "tforward": 0.0, "tbackward": 0.0}
        terms = Terms(self.loss)
        rate_factor = warm_up(self.state.iteration, self.trainval["warmup"])
        rate = self.state.optimizer.param_groups[0]["lr"] * rate_factor
        losses = self._losses(parts, terms, times, timer)
        step = optimize(self.state, losses, self.trainval.get("max_grad_norm"), rate_factor)
        if not step.sound:
            raise self._diverged("the gradient is no number", parts, parts)
        times["tbackward"] += timer.lap()
        self.state.iteration += 1
        self.state.batches = self.loader.state_dict()
        self.state.epoch = self.loader.epoch
        self.state.seconds += sum(times.values())
        self.state.seconds_of_run += sum(times.values())
        return {
            "iter": self.state.iteration,
            "epoch": self.state.epoch,
            "titer": sum(times.values()),
            "tsum": self.state.seconds,
            **times,
            "events": sum(len(part["index"]) for part in parts),
            "lr": rate,
            "gradient_norm": step.norm,
            "skipped": len(self.loader.skipped),
            **self._scaling(),
            **terms.numbers(),
        }

    def _losses(
        self, parts: Sequence[Batch], terms: Terms, times: dict[str, float], timer: _Timer
    ) -> Iterator[torch.Tensor]:
        """Yield the loss of each minibatch; the backward pass of one is done when the next is asked for."""
        shares: Sequence[Shares | None] = [None] if len(parts) == 1 else shares_of(parts, self.chain, self.loss)
        for part, share in zip(parts, shares, strict=True):
            times["tbackward"] += timer.lap()
            batch = to_device(part, self.device)
            with autocast(self.trainval["amp"], self.device):
                products = self.chain(batch)
            found = self.loss(products, products["labels"])
            terms.add(found, share and {name: value.to(self.device) for name, value in share.items()})
            loss = found["loss"] if share is None else self.loss.total(found, share)
            if not math.isfinite(value := loss.item()):
                raise self._diverged(f"the loss is {value}", parts, [part])
            if (name := not_finite(self._buffers)) is not None:
                raise self._diverged(f"the running statistics '{name}' are no numbers", parts, [part])
            times["tforward"] += timer.lap()
            yield loss

    def _scaling(self) -> dict[str, float]:
        """Return the columns of the log that tell how fp16 goes."""
        if not self.state.scaler.is_enabled():
            return {}
        return {"skipped_steps": self.state.skipped_steps, "loss_scale": self.state.scaler.get_scale()}

    def _diverged(self, what: str, parts: Sequence[Batch], at_fault: Sequence[Batch]) -> UserError:
        """Keep the last good state and the batch, and return the error to raise.

        Args:
            what: what is wrong.
            parts: the whole batch.
            at_fault: the minibatches in which it shows.
        """
        with torch.no_grad():
            for buffer, before in zip(self._buffers.values(), self._buffers_before, strict=True):
                buffer.copy_(before)
        events = ", ".join(self.loader.dataset.describe(index) for part in at_fault for index in part["index"])
        number = self.state.iteration + 1
        saved = self._save_at_fault()
        path = Path(f"{self.trainval['weight_prefix']}-{number}-diverged.h5")
        try:
            write_batch(path, parts, self.chain, self.config.text, self.loader.dataset.files)
            shown = f"'mlreco display {path}' shows the batch"
        except UserError as error:
            shown = f"the batch could not be kept: {error}"
        return UserError(
            f"{what} in iteration {number} ({events}): lower trainval.optimizer.args.lr or set "
            f"trainval.max_grad_norm; {saved}; {shown}"
        )
