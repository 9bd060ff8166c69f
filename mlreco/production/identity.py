"""What makes the numbers of a production: settings, weights and program."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from mlreco import __version__
from mlreco.config.frozen import thaw
from mlreco.inference.reconstruction import Reconstruction
from mlreco.models.chain import Chain
from mlreco.post_processing.factories import thresholds_text
from mlreco.post_processing.settings.values_file import read_mapping

_OF_WEIGHTS = ("model_path", "model_name", "freeze_weights")
"""Keys of a stage that say where its weights come from; the weights themselves are compared."""
_READING = ("collate_fn", "on_error")
_EVENTS = ("schema", "reader")
_PRECISION = ("amp", "tf32")
_ABSENT = object()


class Identity(BaseModel):
    """What two outputs have in common whose events may stand in one data set.

    Attributes:
        mlreco: version of the program.
        weights: SHA-256 of all parameters and buffers of the chain, wherever they were loaded from.
        settings: what the configuration says of the numbers: networks, products that are read, precision,
            post-processing with its thresholds. Files, batches, workers and devices are not among it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    mlreco: str
    weights: str
    settings: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything, as text."""
        text = json.dumps(self.model_dump(), sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def identity_of(config: Mapping[str, Any], reconstruction: Reconstruction) -> Identity:
    """Return the identity of what a chain makes.

    Args:
        config: a checked configuration.
        reconstruction: its chain with weights, and its post-processing.
    """
    model = thaw(config["model"])
    for block in filter(None, model["modules"].values()):
        for key in _OF_WEIGHTS:
            block.pop(key, None)
        if isinstance(block.get("thresholds"), str):  # a file; its content is what counts
            block["thresholds"] = read_mapping(block["thresholds"], "thresholds", "")
    processors = thaw(config.get("post_processing") or {})
    for arguments in filter(None, processors.values()):
        if isinstance(arguments.get("thresholds"), str):
            del arguments["thresholds"]  # likewise; it stands under ``thresholds``
    iotool = config["iotool"]
    settings = {
        "model": model,
        "post_processing": processors,
        "thresholds": json.loads(thresholds_text(reconstruction.processors)),
        "iotool": {key: thaw(iotool[key]) for key in _READING if key in iotool},
        "dataset": {key: thaw(iotool["dataset"][key]) for key in _EVENTS if key in iotool["dataset"]},
        "trainval": {key: config["trainval"][key] for key in _PRECISION},
    }
    settings = json.loads(json.dumps(settings, default=str))
    return Identity(mlreco=__version__, weights=weights_digest(reconstruction.chain), settings=settings)


def weights_digest(chain: Chain) -> str:
    """Return the SHA-256 of the names, types, shapes and numbers of all weights of a chain."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(chain.state_dict().items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()


def differences(theirs: Identity, ours: Identity) -> list[str]:
    """Return what differs between two identities, such as ``model.modules.spice.depth: 5, here 6``."""
    found = []
    if theirs.mlreco != ours.mlreco:
        found.append(f"mlreco {theirs.mlreco}, here {ours.mlreco}")
    for place, old, new in _compared(theirs.settings, ours.settings, ""):
        found.append(f"{place}: {_shown(old)}, here {_shown(new)}")
    if theirs.weights != ours.weights:
        found.append("other weights")
    return found


def _compared(old: Any, new: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _compared(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{place}.{key}" if place else key)
    elif old != new:
        yield place, old, new


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)[:60]
