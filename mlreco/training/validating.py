"""Validations during a training: when they are made, and what depends on their numbers."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.iotools.workers import WaitEnded
from mlreco.models.chain import Chain
from mlreco.training.background import BackgroundValidator
from mlreco.training.checkpoints import TrainingState
from mlreco.training.keeping import keep_best, keep_best_with
from mlreco.training.prefix import checkpoint_path
from mlreco.training.report import Reporter
from mlreco.training.schedules import follow_validation
from mlreco.training.selection import Selection
from mlreco.training.team import Team
from mlreco.training.validation import Validator


class Validations:
    """Validates at intervals, reports numbers, keeps the best checkpoint, ends trainings that no longer improve.

    Numbers of a background validation are reported, and the best checkpoint is kept, when they arrive. The next
    validation waits for them, and only then the training may end early, so that its course does not depend on the speed
    of the validation.

    Args:
        trainval: the section of the configuration.
        state: of the training; its selection changes.
        iterations: of the whole training.
        team: the processes that train together.
        validator: of the first process, which validates itself or in the background; None in other processes and
            without validation.
        save: writes a checkpoint of the current state and returns its path; an existing one is replaced only with
            ``again``.
    """

    def __init__(
        self,
        trainval: Mapping[str, Any],
        state: TrainingState,
        iterations: int,
        team: Team,
        validator: Validator | BackgroundValidator | None,
        save: Callable[..., Path],
    ) -> None:
        self._trainval, self._wanted = trainval, trainval["validation"]
        self._state, self._iterations, self._team, self._save = state, iterations, team, save
        self._validator = validator
        self._settled = Selection() if self._is_beside else state.selection
        self._resume()

    def at_this_iteration(self, ended: Callable[[], bool], reporter: Reporter | None) -> None:
        """Validate if it is time for it.

        Args:
            ended: whether the training was told to end.
            reporter: of the first process.

        Raises:
            WaitEnded: ``ended`` said so.
            UserError: an event cannot be read, or the checkpoint cannot be written.
        """
        done = self._state.iteration
        if not self._is_due(done):
            self._take_what_has_come(reporter)
        elif not self._is_beside:
            self._validate(ended, reporter)
        else:
            self._settle(ended, reporter)
            if not self.is_no_longer_better:
                self._begin(done)

    def finish(self, ended: Callable[[], bool], reporter: Reporter | None) -> None:
        """Wait for a running validation at the end of a training; the last checkpoint is then written again.

        Raises:
            WaitEnded: ``ended`` said so.
            UserError: as :meth:`at_this_iteration`.
        """
        if self._is_beside and self._state.selection.pending:
            self._settle(ended, reporter)
            self._save(again=True)

    @property
    def has_ended(self) -> bool:
        """Whether the training was already ended early before it was resumed.

        In the background that is where the next validation was due, not where the numbers of the last one came.
        """
        selection, patience = self._state.selection, self._trainval["patience"]
        if not self._is_beside or patience is None:
            return self.is_no_longer_better
        return selection.misses >= patience and not selection.pending and self._is_due(self._state.iteration)

    @property
    def is_unfinished(self) -> bool:
        """Whether the current network has not been validated yet."""
        return self._state.selection.pending > 0 or self._is_due(self._state.iteration)

    @property
    def is_no_longer_better(self) -> bool:
        """Whether the training is to end early."""
        patience = self._trainval["patience"]
        return patience is not None and self._wanted is not None and self._settled.misses >= patience

    def tell_end(self) -> None:
        """Report why the training ends early."""
        chosen = self._settled
        if self._team.is_first:
            remark(
                f"ended after {self._state.iteration} iterations: {chosen.misses} validations were not better than "
                f"that after {chosen.iteration}, with {self._trainval['best']} {chosen.value:.4g}"
            )

    @property
    def _is_beside(self) -> bool:
        return self._wanted is not None and self._wanted["background"]

    def _is_due(self, done: int) -> bool:
        """Tell whether the network is to be validated now, and was not before the training was interrupted."""
        selection = self._state.selection
        if self._wanted is None or done <= max(selection.validated, selection.pending):
            return False
        return done % self._wanted["step"] == 0 or done == self._iterations

    def _validate(self, ended: Callable[[], bool], reporter: Reporter | None) -> None:
        """Validate now."""
        numbers, stopped = {}, False
        if isinstance(self._validator, Validator):
            average = self._state.average
            try:
                network = self._state.model if average is None else cast(Chain, average.module)
                numbers = self._validator.numbers(network, ended)
            except WaitEnded:
                stopped = True
        numbers, stopped = self._team.gathered((numbers, stopped))[0]
        if stopped:
            raise WaitEnded
        done = self._state.iteration
        with self._as_before_where_it_fails():
            self._take(done, numbers, reporter)
            if reporter is not None and self._state.selection.iteration == done:
                keep_best(self._trainval["weight_prefix"], self._save())
        self._settled = self._state.selection

    @contextlib.contextmanager
    def _as_before_where_it_fails(self) -> Iterator[None]:
        """Undo what a validation has changed where its row or the best checkpoint cannot be written: it comes again."""
        state = self._state
        before = state.selection, state.numbers, state.reports
        schedule = copy.deepcopy(state.scheduler.state_dict()) if state.scheduler else None
        rates = [group["lr"] for group in state.optimizer.param_groups]
        try:
            yield
        except UserError:
            state.selection, state.numbers, state.reports = before
            if state.scheduler:
                state.scheduler.load_state_dict(schedule)
            for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            raise

    def _take(self, iteration: int, numbers: Mapping[str, float], reporter: Reporter | None) -> None:
        best = self._trainval["best"]
        self._state.selection = self._state.selection.after(iteration, numbers, best)
        self._state.numbers = dict(numbers)
        follow_validation(self._state.scheduler, numbers[best])
        if reporter is not None:
            reporter.validated(iteration, numbers, best)
            self._state.reports = reporter.state()

    def _begin(self, done: int) -> None:
        """Save a checkpoint and begin its validation."""
        self._state.selection = replace(self._state.selection, pending=done)
        checkpoint = self._save()
        if isinstance(self._validator, BackgroundValidator):
            self._validator.begin(checkpoint)

    def _resume(self) -> None:
        """Begin the validation again that was running when the training was interrupted."""
        pending = self._state.selection.pending
        checkpoint = checkpoint_path(self._trainval["weight_prefix"], pending)
        if not pending:
            return
        if not self._is_beside or not checkpoint.exists():
            if self._team.is_first:
                remark(f"the validation after {pending} iterations, which was under way, is left out")
            self._state.selection = replace(self._state.selection, pending=0)
        elif isinstance(self._validator, BackgroundValidator):
            self._validator.begin(checkpoint)

    def _take_what_has_come(self, reporter: Reporter | None) -> None:
        validator, pending = self._validator, self._state.selection.pending
        if pending and isinstance(validator, BackgroundValidator) and validator.has_come():
            self._take_pending(lambda: False, reporter)

    def _take_pending(self, ended: Callable[[], bool], reporter: Reporter | None) -> None:
        """Fetch the numbers of the running validation, and keep its checkpoint if it is the best."""
        pending = self._state.selection.pending
        if not pending or not isinstance(self._validator, BackgroundValidator):
            return
        numbers = self._validator.numbers(ended)
        with self._as_before_where_it_fails():
            self._take(pending, numbers, reporter)
            if self._state.selection.iteration == pending:
                prefix = self._trainval["weight_prefix"]
                keep_best_with(prefix, checkpoint_path(prefix, pending), numbers, self._state.selection)

    def _settle(self, ended: Callable[[], bool], reporter: Reporter | None) -> None:
        """Wait for the running validation, and share its numbers with all processes."""
        stopped = False
        try:
            self._take_pending(ended, reporter)
        except WaitEnded:
            stopped = True
        self._settled, stopped = self._team.gathered((self._state.selection, stopped))[0]
        if stopped:
            raise WaitEnded
        self._state.selection = self._settled
