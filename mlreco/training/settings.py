"""The settings that change what a training comes to: those that a resumed one must share."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

TRAINVAL = ("optimizer", "max_grad_norm", "freeze", "amp", "tf32", "warmup", "ema", "loss_weights", "sync_batch_norm")
IOTOOL = ("batch_size", "minibatch_size", "shuffle", "collate_fn", "sampler", "augment", "on_error")
DATASET = ("name", "simulation", "schema", "event_list", "entry_range", "max_voxels")
SOURCE = ("weight", "simulation")
MODEL = ("name", "class_scheme", "modules", "network_input", "loss_input")
WHERE_WEIGHTS_COME_FROM = ("model_path", "model_name")
OF_EARLY_CHECKPOINTS = ("optimizer", "lr_scheduler", "max_grad_norm", "freeze", "amp", "tf32")
"""Keys of ``trainval`` that checkpoints told before they told everything."""
BEFORE_IT_EXISTED = {
    "trainval.amp": "off",
    "trainval.tf32": False,
    "trainval.warmup": 0,
    "trainval.sync_batch_norm": False,
    "iotool.minibatch_size": -1,
}
"""Settings that older checkpoints do not tell, and what they were where that is not None."""


def settings_of(config: Mapping[str, Any], schedule: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of a configuration that change what a training comes to: dotted key -> plain value.

    Where the events lie, how many processes read them and how long and how often is trained and told is not among
    them; the events themselves have a fingerprint.

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
    return dict(flattened(copy.deepcopy(chosen)))


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what nested mappings hold under dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_before(checkpoint: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a checkpoint was made with, as far as it tells.

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
        complete: whether the former tells all; else only what early checkpoints told is compared.
    """
    early = tuple(f"trainval.{key}" for key in OF_EARLY_CHECKPOINTS)
    for key in dict.fromkeys([*now, *before]):
        if not complete and not key.startswith(early):
            continue
        old, new = (values.get(key, BEFORE_IT_EXISTED.get(key)) for values in (before, now))
        if old != new:
            return f"{key} was {old} and is {new} now"
    return ""
