"""Builds a training from a configuration and runs it, from the beginning or from a checkpoint."""

from __future__ import annotations

import contextlib
import datetime
import math
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from mlreco.atomic import write_text
from mlreco.checkpoints import DataFingerprint, Metadata, Run, read_metadata
from mlreco.checkpoints.fingerprint import fingerprint
from mlreco.config import Config
from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.inputs import noting_inputs
from mlreco.interrupt import Stopped
from mlreco.iotools import Loader, loader_factory
from mlreco.models.assembly import build_chain
from mlreco.models.chain import ChainLoss
from mlreco.models.layers.precision import tf32
from mlreco.provenance import git_revision, host, versions
from mlreco.training.average import moving_average
from mlreco.training.background import BackgroundValidator
from mlreco.training.checkpoints import Saved, TrainingState, restore
from mlreco.training.generators import seed_generators
from mlreco.training.loop import Training
from mlreco.training.optimizers import make_optimizer
from mlreco.training.prefix import (
    checkpoints,
    interrupted_path,
    refuse_to_overwrite,
    refuse_to_write_over_inputs,
    reserved,
    training_to_resume,
)
from mlreco.training.schedules import make_scheduler, schedule_of
from mlreco.training.selection import require_number
from mlreco.training.settings import settings_of
from mlreco.training.step import make_scaler
from mlreco.training.team import Team, team_of_environment
from mlreco.training.validation import Validator, overlap


def train(config: Config, *, resume: str | Path | None = None, weights: str | Path | None = None) -> Path:
    """Train the chain of a configuration.

    Writes ``<weight_prefix>-<iteration>.ckpt`` every ``checkpoint_step`` iterations and at the end, and a CSV log with
    a row every ``report_step`` iterations. The first Ctrl-C, or a signal of a batch system (`mlreco.interrupt.ENDING`),
    ends the running iteration, saves and raises. The last good state is also saved where a training ends in another
    way (a worker was killed, data are damaged, a loss is no number).

    Args:
        config: a checked configuration (:func:`mlreco.config.load_config`), with its YAML text in ``text``.
        resume: checkpoint to continue from exactly; ``"latest"``, the newest one; or ``"latest-if-any"``, which starts
            where there is none, and does nothing where the training is complete.
        weights: checkpoint to take only weights from.

    Returns:
        the last checkpoint.

    Raises:
        UserError: a mistake in the configuration or the data, or a loss that is no number.
        KeyboardInterrupt: after a checkpoint was saved; `mlreco.interrupt.Stopped` where it was not Ctrl-C, and then
            ``<weight_prefix>.interrupted`` is there until the training goes on.
    """
    trainval = config["trainval"]
    waits = interrupted_path(trainval["weight_prefix"])
    with contextlib.ExitStack() as stack:
        stack.enter_context(noting_inputs())
        team = stack.enter_context(team_of_environment(trainval["gpus"]))
        if team.is_first:
            stack.enter_context(reserved(trainval["weight_prefix"]))
            waits.unlink(missing_ok=True)
        try:
            return _train(config, resume, weights, team)
        except Stopped as stop:
            if team.is_first:
                _leave_note(waits, str(stop))
            raise


def _leave_note(path: Path, text: str) -> None:
    """Write the file that says that the training is to be continued; its checkpoint is already saved."""
    try:
        write_text(path, f"{text}\n")
    except UserError as error:
        remark(str(error))


def _train(config: Config, resume: str | Path | None, weights: str | Path | None, team: Team) -> Path:
    trainval, model = config["trainval"], config["model"]
    saved, seed = _beginning(trainval, resume, team)
    seed_generators(seed)
    loader = loader_factory(
        config["iotool"],
        seed=seed,
        train=True,
        start_iteration=0 if saved is None else saved.content.iteration,
        class_scheme=model["class_scheme"],
        energies=model["network_input"][0],
        pin_memory=team.device.type == "cuda",
        shard=team.shard,
    )
    with loader, tf32(trainval["tf32"]):
        iterations = _iterations(trainval, loader)
        state = _begin(config, iterations, weights, seed, team)
        data = fingerprint(loader.dataset, model["network_input"][0])
        _describe(state, config, iterations, data, saved, weights, team)
        if saved is not None:
            restore(saved, state)
            loader.load_state_dict(state.batches)
        facts = {"settings": state.metadata.settings, "versions": versions(), "iterations": iterations}
        team.require_same({**facts, "events": data.digest, "beginning": state.iteration})
        loss = state.model.make_loss(trainval["loss_weights"]).to(team.device)
        with _validation(config, state, loss, loader, team, saved) as validator:
            refuse_to_write_over_inputs(trainval["weight_prefix"])
            training = Training(config, state, loss, loader, iterations, team, validator)
            if saved is not None and resume == "latest-if-any" and training.what_is_complete:
                remark(f"{saved.path}: is the end of the training: {training.what_is_complete}")
                return saved.path
            return training.run()


def _beginning(trainval: Mapping[str, Any], resume: str | Path | None, team: Team) -> tuple[Saved | None, int]:
    """Return the checkpoint that a training goes on from, None for a new one, and the seed.

    Raises:
        UserError: there is no checkpoint that can be read; a new training finds those of another.
    """
    prefix = trainval["weight_prefix"]
    if resume == "latest-if-any":
        resume = "latest" if checkpoints(prefix) else None
    if resume is not None:
        saved = training_to_resume(resume, prefix)
        before, wanted = saved.content.seed, trainval["seed"]
        if team.is_first and wanted >= 0 and wanted != before:
            remark(f"{saved.path}: goes on with its seed {before}; trainval.seed, now {wanted}, is for new ones")
        return saved, before
    if team.is_first:
        refuse_to_overwrite(prefix)
    return None, trainval["seed"] if trainval["seed"] >= 0 else team.gathered(secrets.randbits(31))[0]


@contextlib.contextmanager
def _validation(
    config: Mapping[str, Any],
    state: TrainingState,
    loss: ChainLoss,
    loader: Loader,
    team: Team,
    saved: Saved | None,
) -> Iterator[Validator | BackgroundValidator | None]:
    """Return the validator in the first process, None in others or where nothing is to be validated.

    Raises:
        UserError: the events cannot be read, or give no number of the name that is compared; or something needs a
            validation that there is not.
    """
    trainval = config["trainval"]
    wanted = trainval["validation"]
    _check_what_follows(trainval)
    if wanted is None or not team.is_first:
        yield None
        return
    with contextlib.closing(Validator(config, loss)) as validator:
        for path in overlap(validator.files, loader.dataset.files):
            remark(f"{path}: is trained on and validated on; the validation says little about other events")
        _compare_events(validator, saved, plateau=_follows_validation(trainval))
        state.metadata = state.metadata.model_copy(update={"validated_on": validator.digest})
        require_number(validator.numbers(state.model, most=1), trainval["best"])
        if not wanted["background"]:
            yield validator
            return
    with contextlib.closing(BackgroundValidator(config, team.ranks_here)) as beside:
        yield beside


def _compare_events(validator: Validator, saved: Saved | None, plateau: bool) -> None:
    """Compare the events of the validation with those before the training was interrupted.

    Raises:
        UserError: they are others, and the learning rate follows the validation.
    """
    if saved is None or saved.metadata.validated_on in ("", validator.digest):
        return
    text = f"{saved.path}: trainval.validation had other events"
    if plateau:
        raise UserError(f"{text}, and ReduceLROnPlateau follows them; --resume continues with the same")
    remark(f"{text}; its best network counts beside those to come, which are validated on these")


def _follows_validation(trainval: Mapping[str, Any]) -> bool:
    return (trainval.get("lr_scheduler") or {}).get("name") == "ReduceLROnPlateau"


def _check_what_follows(trainval: Mapping[str, Any]) -> None:
    """Check that settings that depend on validations have validations.

    Raises:
        UserError: there are none, or none that it may wait for.
    """
    plateau = _follows_validation(trainval)
    if trainval["validation"] is None:
        if plateau:
            raise UserError("trainval.lr_scheduler: ReduceLROnPlateau needs events to validate on: trainval.validation")
        if trainval["patience"] is not None:
            raise UserError("trainval.patience counts validations: say on which events, with trainval.validation")
    elif plateau and trainval["validation"]["background"]:
        raise UserError(
            "trainval.validation.background: ReduceLROnPlateau needs the numbers at once; set background: false"
        )


def _begin(
    config: Mapping[str, Any], iterations: int, weights: str | Path | None, seed: int, team: Team
) -> TrainingState:
    """Return the state at the beginning of a training."""
    trainval = config["trainval"]
    chain, _ = build_chain(config, weights, to_train=True, device=team.device)
    chain.freeze(trainval.get("freeze") or ())
    state = TrainingState(chain, make_optimizer(chain, trainval["optimizer"]), seed=seed)
    state.scheduler = make_scheduler(state.optimizer, schedule_of(trainval, iterations))
    state.scaler = make_scaler(trainval["amp"], next(chain.parameters()).device)
    if trainval["ema"] is not None:
        state.average = moving_average(chain, trainval["ema"])
    return state


def _describe(
    state: TrainingState,
    config: Config,
    iterations: int,
    data: DataFingerprint,
    saved: Saved | None,
    weights: str | Path | None,
    team: Team,
) -> None:
    """Set the metadata of the checkpoints in the state."""
    device = next(state.model.parameters()).device
    begun_from = saved.path if saved is not None else weights or config["trainval"].get("model_path") or ""
    if saved is not None:
        history = saved.metadata.history
    else:
        history = read_metadata(begun_from).history if begun_from else ()
    state.metadata = Metadata(
        config=config.text,
        class_scheme=state.model.scheme.name,
        classes=state.model.scheme.classes,
        versions=versions(),
        data=data,
        settings=settings_of(config, schedule_of(config["trainval"], iterations)),
        history=history,
    )
    first = 0 if saved is None else saved.content.iteration
    state.run = Run(
        first_iteration=first,
        last_iteration=first,
        started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        begun_from=str(begun_from),
        resumed=saved is not None,
        seed=state.seed,
        processes=team.ranks,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        host=host(),
        revision=git_revision(),
        versions=versions(),
    )


def _iterations(trainval: Mapping[str, Any], loader: Loader) -> int:
    if trainval.get("iterations") is not None:
        return trainval["iterations"]
    if loader.endless:
        raise UserError("the events have no end: say when to stop, with trainval.iterations (--iterations)")
    if trainval.get("epochs") is not None:
        return math.ceil(trainval["epochs"] * len(loader))
    return len(loader)
