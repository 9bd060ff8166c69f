"""The settings that affect the result of a training; a resumed training must have the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlreco.config.by_content import by_content

TRAINVAL = ("optimizer", "max_grad_norm", "freeze", "amp", "tf32", "warmup", "ema", "loss_weights", "sync_batch_norm")
IOTOOL = ("batch_size", "minibatch_size", "shuffle", "collate_fn", "sampler", "augment", "on_error")
DATASET = ("name", "simulation", "schema", "event_list", "skip_event_list", "entry_range", "max_voxels")
SOURCE = ("weight", "simulation")
MODEL = ("name", "class_scheme", "modules", "network_input", "loss_input")
WHERE_WEIGHTS_COME_FROM = ("model_path", "model_name")
OF_EARLY_CHECKPOINTS = ("optimizer", "lr_scheduler", "max_grad_norm", "freeze", "amp", "tf32")
"""Keys of ``trainval`` in early checkpoints, which did not have all settings."""
VALIDATION = ("step", "events", "clustering")
TOLD_LATER = (
    ("iotool.dataset.skip_event_list.",),
    ("trainval.best.", "trainval.validation.", "post_processing."),
)
"""Beginnings of groups of keys, with a dot at the end, that older checkpoints do not have."""
BEFORE_IT_EXISTED = {
    "trainval.amp": "off",
    "trainval.tf32": False,
    "trainval.warmup": 0,
    "trainval.sync_batch_norm": False,
    "iotool.minibatch_size": -1,
}
"""Settings that older checkpoints do not have, with their values of that time where these are not None."""


def settings_of(config: Mapping[str, Any], schedule: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of a configuration that affect the result of a training: dotted key -> plain value.

    Paths of the events, numbers of reading processes, the length of the training and the intervals of its reports do
    not belong to them. The events themselves have a fingerprint. Files are represented by their content. The settings
    of the validation belong to them if the learning rate follows the validation.

    Args:
        config: a checked configuration.
        schedule: ``trainval.lr_scheduler`` with its length.
    """
    iotool, model, trainval = config["iotool"], config["model"], config["trainval"]
    modules = {
        name: {key: value for key, value in (block or {}).items() if key not in WHERE_WEIGHTS_COME_FROM}
        for name, block in model["modules"].items()
    }
    chosen = {
        "iotool": {key: iotool.get(key) for key in IOTOOL},
        "model": {**{key: model.get(key) for key in MODEL}, "modules": modules},
        "trainval": {**{key: trainval.get(key) for key in TRAINVAL}, "lr_scheduler": schedule},
    }
    chosen["iotool"]["dataset"] = {key: iotool["dataset"].get(key) for key in DATASET}
    chosen["iotool"]["dataset"]["sources"] = {
        name: {key: source.get(key) for key in SOURCE}
        for name, source in (iotool["dataset"].get("sources") or {}).items()
    }
    if schedule is not None and schedule["name"] == "ReduceLROnPlateau":
        wanted = trainval["validation"] or {}
        chosen["trainval"] |= {"best": trainval["best"], "validation": {key: wanted.get(key) for key in VALIDATION}}
        chosen["post_processing"] = config.get("post_processing") or {}
    return dict(flattened(by_content(chosen)))


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_before(checkpoint: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with which a checkpoint was made, as far as it has them.

    Args:
        checkpoint: its content.
        told: the settings in its metadata.
    """
    if told:
        return dict(told)
    recipe = checkpoint.get("recipe")
    return dict(flattened(recipe, "trainval.")) if isinstance(recipe, Mapping) else {}


def difference(before: Mapping[str, Any], now: Mapping[str, Any], complete: bool) -> str:
    """Return the first difference of two sets of settings in words; nothing where there is none.

    Args:
        before: what :func:`settings_before` returned.
        now: what :func:`settings_of` returned.
        complete: whether ``before`` has all settings; else only those of early checkpoints are compared.
    """
    early = tuple(f"trainval.{key}" for key in OF_EARLY_CHECKPOINTS)
    untold = tuple(f"{name}." for name in named_files(before, now))
    for group in TOLD_LATER:
        if not any(f"{key}.".startswith(group) for key in before):
            untold += group
    for key in dict.fromkeys([*now, *before]):
        if f"{key}.".startswith(untold) or not (complete or key.startswith(early)):
            continue
        old, new = (values.get(key, BEFORE_IT_EXISTED.get(key)) for values in (before, now))
        if old != new:
            return f"{key} was {old} and is {new} now"
    return ""


def named_files(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys of thresholds for which a checkpoint has only the name of a file, as older ones do."""
    named = [key for key, value in before.items() if key.endswith(".thresholds") and isinstance(value, str)]
    return [name for name in named if any(key.startswith(f"{name}.") for key in now)]
