"""The training loop."""

from __future__ import annotations

import copy
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mlreco.atomic import make_folder
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.interrupt import Interruption
from mlreco.iotools import loader_factory
from mlreco.iotools.skipped import SHOWN
from mlreco.models.assembly import build_chain
from mlreco.models.chain import Chain, ChainLoss, chain_loss
from mlreco.models.layers.precision import autocast, tf32
from mlreco.models.transfer import to_device
from mlreco.progress import Progress
from mlreco.training.checkpoints import (
    TrainingState,
    checkpoint_path,
    latest_checkpoint,
    refuse_to_overwrite,
    restore,
    save_checkpoint,
)
from mlreco.training.log import CSVLog
from mlreco.training.optimizers import make_optimizer, make_scheduler
from mlreco.training.step import make_scaler, optimize

RECIPE = ("optimizer", "lr_scheduler", "max_grad_norm", "freeze", "amp", "tf32")
"""Settings of ``trainval`` that a resumed training shares with the one it continues."""


def train(config: Mapping[str, Any], *, resume: str | Path | None = None, weights: str | Path | None = None) -> Path:
    """Train the chain of a configuration.

    Writes ``<weight_prefix>-<iteration>.ckpt`` every ``checkpoint_step`` iterations and at the end, and a CSV log with
    a row every ``report_step`` iterations. The first Ctrl-C ends the running iteration, saves and raises.

    Args:
        config: a checked configuration (:func:`mlreco.config.load_config`), with its YAML text in ``text``.
        resume: checkpoint to continue from exactly, or ``"latest"``.
        weights: checkpoint to take only weights from.

    Returns:
        the last checkpoint.

    Raises:
        UserError: a mistake in the configuration or the data, or a loss that is no number.
        KeyboardInterrupt: after a checkpoint was saved.
    """
    trainval = config["trainval"]
    seed = trainval["seed"] if trainval["seed"] >= 0 else secrets.randbits(31)
    torch.manual_seed(seed)
    chain, _ = build_chain(config, weights)
    chain.freeze(trainval.get("freeze") or ())
    state = TrainingState(chain, make_optimizer(chain, trainval["optimizer"]), seed=seed)
    state.recipe = {key: _plain(trainval.get(key)) for key in RECIPE}
    state.scheduler = make_scheduler(state.optimizer, trainval.get("lr_scheduler"))
    device = next(chain.parameters()).device
    state.scaler = make_scaler(trainval["amp"], device)
    if resume is None:
        refuse_to_overwrite(trainval["weight_prefix"])
    else:
        restore(latest_checkpoint(trainval["weight_prefix"]) if resume == "latest" else Path(resume), state)
    scheme = config["model"]["class_scheme"]
    loader = loader_factory(
        config["iotool"],
        seed=state.seed,
        train=True,
        start_iteration=state.iteration,
        class_scheme=scheme,
        energies=chain.network_input,
        pin_memory=device.type == "cuda",
    )
    with loader, tf32(trainval["tf32"]):
        if resume is not None:
            loader.load_state_dict(state.batches)
        return _Training(config, chain, chain_loss(config["model"]), state, loader).run()


@dataclass
class _Timer:
    """Seconds since the previous reading."""

    last: float = 0.0

    def lap(self) -> float:
        now = time.perf_counter()
        elapsed, self.last = now - self.last, now
        return elapsed


class _Training:
    """The loop and what it works with."""

    def __init__(
        self, config: Mapping[str, Any], chain: Chain, loss: ChainLoss, state: TrainingState, loader: Any
    ) -> None:
        self.config = config
        self.trainval = config["trainval"]
        self.chain = chain
        self.device = next(chain.parameters()).device
        self.loss = loss.to(self.device)
        self.state = state
        self.loader = loader
        self._told = 0
        self.iterations = _iterations(self.trainval, len(loader))
        if state.iteration >= self.iterations:
            raise UserError(
                f"nothing left to train: {state.iteration} iterations are done and {self.iterations} wanted; "
                f"raise trainval.iterations (--iterations)"
            )

    def run(self) -> Path:
        self.chain.train()
        for text in self.loader.dataset.remarks:
            remark(text)
        make_folder(Path(self.trainval["weight_prefix"]).parent)
        batches = iter(self.loader)
        with (
            Interruption() as interruption,
            CSVLog(self.trainval["log_dir"], self.state.iteration) as log,
            Progress("training", total=self.iterations, initial=self.state.iteration, unit="it") as progress,
        ):
            saved = None
            while self.state.iteration < self.iterations and not interruption.requested:
                row = self._iterate(batches)
                step = self.state.iteration
                if step % self.trainval["report_step"] == 0 or step == self.iterations:
                    log.record(row)
                progress.advance(1, loss=row["loss"])
                saved = self._save() if step % self.trainval["checkpoint_step"] == 0 else None
            saved = saved or self._save()
        if self.state.skipped_steps:
            remark(f"{self.state.skipped_steps} of {self.state.iteration} steps were left out: fp16 overflowed")
        if interruption.requested:
            raise KeyboardInterrupt(f"saved {saved} after {self.state.iteration} iterations")
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
        path = checkpoint_path(self.trainval["weight_prefix"], self.state.iteration)
        self.state.batches = self.loader.state_dict()
        save_checkpoint(path, self.state, self.config.text)
        return path

    def _iterate(self, batches: Any) -> dict[str, float]:
        """Train on one batch and return a row of the log."""
        timer = _Timer(time.perf_counter())
        batch = next(batches)
        self._tell_skipped()
        batch = to_device(batch, self.device)
        times = {"tio": timer.lap()}
        with autocast(self.trainval["amp"], self.device):
            products = self.chain(batch)
        terms = self.loss(products, products["labels"])
        loss = terms["loss"].item()
        if not math.isfinite(loss):
            raise UserError(self._diverged(f"the loss is {loss}", batch))
        times["tforward"] = timer.lap()
        rate = self.state.optimizer.param_groups[0]["lr"]
        if not optimize(self.state, terms["loss"], self.trainval.get("max_grad_norm")):
            raise UserError(self._diverged("the gradient is no number", batch))
        times["tbackward"] = timer.lap()
        self.state.iteration += 1
        self.state.epoch = self.loader.epoch
        self.state.seconds += sum(times.values())
        return {
            "iter": self.state.iteration,
            "epoch": self.state.epoch,
            "titer": sum(times.values()),
            "tsum": self.state.seconds,
            **times,
            "lr": rate,
            "skipped": len(self.loader.skipped),
            **self._scaling(),
            **_numbers(terms),
        }

    def _scaling(self) -> dict[str, float]:
        """Return the columns of the log that tell how fp16 goes."""
        if not self.state.scaler.is_enabled():
            return {}
        return {"skipped_steps": self.state.skipped_steps, "loss_scale": self.state.scaler.get_scale()}

    def _diverged(self, what: str, batch: Mapping[str, Any]) -> str:
        events = ", ".join(self.loader.dataset.describe(index) for index in batch["index"])
        return (
            f"{what} in iteration {self.state.iteration + 1} ({events}): lower trainval.optimizer.args.lr or set "
            f"trainval.max_grad_norm"
        )


def _numbers(terms: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Return scalars as numbers, fetched from their device at once."""
    values = torch.stack([value.detach().double() for value in terms.values()])
    return dict(zip(terms, values.tolist(), strict=True))


def _plain(value: Any) -> Any:
    """Return a copy of a part of a configuration made of ordinary dictionaries and lists."""
    return copy.deepcopy(value)


def _iterations(trainval: Mapping[str, Any], batches_per_epoch: int) -> int:
    if trainval.get("iterations") is not None:
        return trainval["iterations"]
    if trainval.get("epochs") is not None:
        return math.ceil(trainval["epochs"] * batches_per_epoch)
    return batches_per_epoch
