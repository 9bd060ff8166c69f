"""The identity of a production: settings, weights and program, which determine its numbers."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from mlreco.config.by_content import by_content
from mlreco.inference.reconstruction import Reconstruction
from mlreco.inputs import file_digest
from mlreco.iotools.readers import READERS
from mlreco.iotools.schema import read_schema
from mlreco.models.chain import Chain
from mlreco.post_processing.factories import thresholds_text
from mlreco.version import __version__

_OF_WEIGHTS = ("model_path", "model_name", "freeze_weights")
"""Keys of a stage that say where its weights come from; the weights themselves are compared."""
_READING = ("collate_fn", "on_error")
_EVENTS = ("schema", "reader")
_PRECISION = ("amp", "tf32")
_OURS = __name__.partition(".")[0]
_ABSENT = object()


class Identity(BaseModel):
    """The properties that are equal for all outputs of one data set.

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
    """Return the identity of the outputs of a chain.

    Files that the configuration names count by what they hold, and so do the modules of other packages that make
    products.

    Args:
        config: a checked configuration.
        reconstruction: its chain with weights, and its post-processing.
    """
    model = by_content({**config["model"], "modules": _without_weights(config["model"]["modules"])})
    iotool = config["iotool"]
    dataset = {key: iotool["dataset"][key] for key in _EVENTS if key in iotool["dataset"]}
    makers = [*map(type, (*reconstruction.chain.stages.values(), *reconstruction.processors)), *_readers(dataset)]
    settings = {
        "model": model,
        "post_processing": by_content(config.get("post_processing") or {}),
        "thresholds": json.loads(thresholds_text(reconstruction.processors, reconstruction.chain.in_true_classes)),
        "iotool": by_content({key: iotool[key] for key in _READING if key in iotool}),
        "dataset": by_content(dataset),
        "trainval": {key: config["trainval"][key] for key in _PRECISION},
    }
    modules = _modules_of_others(makers)
    settings = json.loads(json.dumps(settings | ({"modules": modules} if modules else {}), default=str))
    return Identity(mlreco=__version__, weights=weights_digest(reconstruction.chain), settings=settings)


def _without_weights(modules: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: block and {key: value for key, value in block.items() if key not in _OF_WEIGHTS}
        for name, block in modules.items()
    }


def _readers(dataset: Mapping[str, Any]) -> Iterator[Callable[..., Any]]:
    """Yield what reads and parses the events: the reader that is named, and the parsers of the schema."""
    if dataset.get("reader"):
        yield READERS.get(dataset["reader"])
    if dataset.get("schema"):
        yield from (entry.parser for entry in read_schema(dataset["schema"]))


def _modules_of_others(makers: Iterable[Any]) -> dict[str, str]:
    """Return the SHA-256 of the modules of other packages that define some classes and functions, by module."""
    found = {}
    for maker in makers:
        if maker.__module__.partition(".")[0] != _OURS:
            try:
                found[maker.__module__] = file_digest(Path(inspect.getfile(maker)))
            except (OSError, TypeError):  # made in an interactive session, or built into Python
                found[maker.__module__] = ""
    return found


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
