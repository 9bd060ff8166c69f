"""The training loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlreco.compiling import Stopwatch
from mlreco.config import Config
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.interrupt import Interruption
from mlreco.iotools.collate import Batch
from mlreco.iotools.workers import WaitEnded
from mlreco.models.chain import ChainLoss
from mlreco.training.background import BackgroundValidator
from mlreco.training.checkpoints import TrainingState, save_checkpoint
from mlreco.training.diverged import write_batch
from mlreco.training.keeping import keep_last
from mlreco.training.learner import Learner, Lessons
from mlreco.training.left_out import LeftOut
from mlreco.training.parts import Terms
from mlreco.training.prefix import checkpoint_path
from mlreco.training.report import Reporter
from mlreco.training.run_folder import describe_run
from mlreco.training.schedules import warm_up
from mlreco.training.step import optimize
from mlreco.training.synced_norms import SyncedNorms
from mlreco.training.team import ENDS, FAILED, GOES_ON, Team
from mlreco.training.validating import Validations
from mlreco.training.validation import Validator


class Training:
    """The training loop.

    Args:
        config: the whole configuration.
        state: what changes; its model is trained.
        loss: what is minimised.
        loader: batches without end.
        iterations: when the training is complete.
        team: the processes that train together.
        validator: of the process that validates.
    """

    def __init__(
        self,
        config: Config,
        state: TrainingState,
        loss: ChainLoss,
        loader: Any,
        iterations: int,
        team: Team,
        validator: Validator | BackgroundValidator | None = None,
    ) -> None:
        self.config = config
        self.trainval = config["trainval"]
        self.state = state
        self.chain = state.model
        self.team = team
        norms = SyncedNorms(self.chain) if self.trainval["sync_batch_norm"] and team.ranks > 1 else None
        self.learner = Learner(self.chain, loss, self.trainval["amp"], team, norms, loader.any_events)
        self.loader = loader
        self.iterations = iterations
        self._saved: Path | None = None
        self.left_out = LeftOut(team, state.left_out)
        self.validations = Validations(self.trainval, state, iterations, team, validator, self._save)

    @property
    def what_is_complete(self) -> str:
        """The reason why nothing is left to train; an empty text while there is something."""
        if self.validations.has_ended:
            return f"validations became no better before iteration {self.state.iteration}; raise trainval.patience"
        if self.state.iteration < self.iterations or self.validations.is_unfinished:
            return ""
        wanted = f"{self.state.iteration} iterations are done and {self.iterations} wanted"
        return f"{wanted}; raise trainval.iterations (--iterations)"

    def run(self) -> Path:
        """Train to the end, or until a signal, and return the last checkpoint.

        Raises:
            UserError: nothing is left to train; damaged data, a loss or a gradient that is no number, a full disk.
            KeyboardInterrupt: after a checkpoint was saved.
        """
        if self.what_is_complete:
            raise UserError(f"nothing left to train: {self.what_is_complete}")
        self.chain.train()
        if self.team.is_first:
            for text in self.loader.dataset.remarks:
                remark(text)
        with Interruption(self.team.has_lost_its_launcher) as interruption, self._reporter() as reporter:
            if reporter is not None:
                describe_run(reporter.path, self.state)
            ended = self._train_until_the_end(interruption, reporter)
            saved = self._save()
        if self.state.skipped_steps and self.team.is_first:
            remark(f"{self.state.skipped_steps} of {self.state.iteration} steps were left out: fp16 overflowed")
        if ended:
            raise interruption.stop(f"saved {saved} after {self.state.iteration} iterations")
        return saved

    def _reporter(self) -> contextlib.AbstractContextManager[Reporter | None]:
        told = self.trainval, self.state.iteration, self.iterations, self.state.reports
        return Reporter(*told) if self.team.is_first else contextlib.nullcontext()

    def _train_until_the_end(self, interruption: Interruption, reporter: Reporter | None) -> bool:
        """Train until all iterations are done, or a signal comes, which is returned."""
        try:
            self._train_on(interruption, reporter)
            self.validations.finish(lambda: interruption.requested, reporter)
        except WaitEnded:
            return True
        return False

    def _train_on(self, interruption: Interruption, reporter: Reporter | None) -> None:
        """Train until all iterations are done, or the network no longer becomes better.

        Raises:
            WaitEnded: a signal came.
        """

        def requested() -> bool:
            return interruption.requested

        batches = self.loader.steps(requested)
        self._validate(requested, reporter)
        while self.state.iteration < self.iterations and not self.validations.is_no_longer_better:
            timer = Stopwatch()
            with self.team.telling_losses():
                row, weights = self._iterate(self._next(batches, interruption), timer)
            if reporter is not None:
                self._report(reporter, row, weights)
            self._validate(requested, reporter)
            if self.state.iteration % self.trainval["checkpoint_step"] == 0:
                self._save()
        if self.validations.is_no_longer_better:
            self.validations.tell_end()

    def _report(self, reporter: Reporter, row: Mapping[str, float], weights: Mapping[str, float]) -> None:
        """Record the numbers of an iteration.

        Raises:
            UserError: the log cannot be written; the state is saved, and the row is written when it goes on.
        """
        try:
            reporter.record(row, weights)
        except UserError as error:
            self.state.reports = reporter.state()
            raise UserError(f"{error}; {self._save_at_fault()}") from error
        self.state.reports = reporter.state()

    def _validate(self, ended: Callable[[], bool], reporter: Reporter | None) -> None:
        """Validate if it is time for it.

        Raises:
            WaitEnded: a signal came.
            UserError: it cannot be done; the state is saved.
        """
        try:
            self.validations.at_this_iteration(ended, reporter)
        except UserError as error:
            raise UserError(f"{error}; {self._save_at_fault()}") from error

    def _save(self, again: bool = False) -> Path:
        """Write a checkpoint, unless it is there and is not to be written again, and return its path."""
        path = checkpoint_path(self.trainval["weight_prefix"], self.state.iteration)
        if (again or self._saved != path) and self.team.is_first:
            save_checkpoint(path, self.state)
            self._saved = path
            keep_last(self.trainval["weight_prefix"], self.trainval["keep_last"], spared=self.state.selection.pending)
        return path

    def _save_at_fault(self) -> str:
        """Save the state before an iteration that failed, if anything was learned; return where it is."""
        if self.state.iteration > self.state.run.first_iteration:
            try:
                return f"saved {self._save()} after {self.state.iteration} iterations"
            except UserError as error:
                remark(str(error))
        return f"the last good weights are in {self._saved}" if self._saved else "no weights were saved"

    def _next(self, batches: Iterator[Sequence[Batch]], interruption: Interruption) -> Sequence[Batch]:
        """Return the minibatches of the next batch.

        Raises:
            WaitEnded: a process of the training was told to end.
            UserError: a process cannot go on; the state before is saved.
        """
        parts: Sequence[Batch] = []
        status, message = GOES_ON, ""
        self.state.batches = self.loader.state_dict()
        try:
            parts = next(batches)
        except WaitEnded:
            status = ENDS
        except UserError as error:
            status, message = FAILED, str(error)
        worst = self.team.worst(max(status, ENDS if interruption.requested else GOES_ON))
        if worst == FAILED:
            message = next(filter(None, self.team.gathered(message)))
            raise UserError(f"{message}; {self._save_at_fault()}")
        if worst == ENDS:
            raise WaitEnded
        return parts

    def _iterate(self, parts: Sequence[Batch], timer: Stopwatch) -> tuple[dict[str, float], dict[str, float]]:
        """Train on one batch and return its numbers, and the weights of its terms beside those of other batches."""
        events = self.left_out.collect(self.loader.skipped, sum(len(part["index"]) for part in parts))
        times = {"tio": timer.lap(), "tforward": 0.0, "tbackward": 0.0}

        def lap(name: str) -> None:
            times[name] += timer.lap()

        lessons = Lessons(Terms(self.learner.loss))
        rate_factor = warm_up(self.state.iteration, self.trainval["warmup"])
        rate = self.state.optimizer.param_groups[0]["lr"] * rate_factor
        losses = self.learner.losses(parts, lessons, lap)
        step = optimize(
            self.state, losses, self.trainval.get("max_grad_norm"), rate_factor, lambda: not lessons.problem
        )
        if not step.sound:
            raise self._diverged(lessons, parts)
        lap("tbackward")
        self.state.iteration += 1
        self.state.batches = self.loader.state_dict()
        self.state.epoch = self.loader.epoch
        self.state.left_out = self.left_out.state()
        self.state.seconds += sum(times.values())
        self.state.seconds_of_run += sum(times.values())
        terms, weights = self.learner.numbers(lessons)
        row = {
            "iter": self.state.iteration,
            "epoch": self.state.epoch,
            "titer": sum(times.values()),
            "tsum": self.state.seconds,
            **times,
            "events": events,
            "lr": rate,
            "gradient_norm": step.norm,
            "skipped": len(self.left_out),
            **self._scaling(),
            **terms,
        }
        return row, weights

    def _scaling(self) -> dict[str, float]:
        """Return the columns of the log for fp16."""
        if not self.state.scaler.is_enabled():
            return {}
        return {"skipped_steps": self.state.skipped_steps, "loss_scale": self.state.scaler.get_scale()}

    def _diverged(self, lessons: Lessons, parts: Sequence[Batch]) -> UserError:
        """Keep the last good state and the batch, and return the error to raise.

        Args:
            lessons: what is wrong, and with which minibatches.
            parts: the whole batch, as far as this process has it.
        """
        self.learner.take_back()
        number = self.state.iteration + 1
        culprits = self.learner.events_at_fault(parts)
        if culprits:
            numbers = [index for part in parts for index in part["index"]]
            named = ", ".join(self.loader.dataset.describe(numbers[place]) for place in culprits)
            events = f"because of {named} (it is so with {'it' if len(culprits) == 1 else 'each of them'} alone)"
        else:
            at_fault = lessons.at_fault or parts
            named = ", ".join(self.loader.dataset.describe(index) for part in at_fault for index in part["index"])
            events = f"({named}; no single one of them is the reason)" if named else "(other processes)"
        saved, kept = self._save_at_fault(), self._keep_batch(parts, number, culprits)
        return UserError(
            f"{lessons.problem or 'the gradient is no number'} in iteration {number} {events}: "
            f"lower trainval.optimizer.args.lr or set trainval.max_grad_norm; {saved}; {kept}"
        )

    def _keep_batch(self, parts: Sequence[Batch], number: int, culprits: Sequence[int]) -> str:
        """Write the batch of a failed iteration to a file and return how to look at it, or at the first culprit."""
        rank = f"-process{self.team.rank}" if self.team.ranks > 1 else ""
        path = Path(f"{self.trainval['weight_prefix']}-{number}-diverged{rank}.h5")
        try:
            write_batch(path, parts, self.chain, self.config.text, self.loader.dataset.files)
        except UserError as error:
            return f"the batch could not be kept: {error}"
        if culprits:
            return f"'mlreco display {path} --event {culprits[0]}' shows the event"
        return f"'mlreco display {path}' shows the batch"
