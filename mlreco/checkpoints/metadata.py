"""Metadata of a checkpoint: configuration, classes, versions, data and history.

They are JSON text under the key ``metadata`` of the file. For older checkpoints :func:`read_metadata` returns what they
have.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlreco.checkpoints.file import read_checkpoint
from mlreco.errors import UserError
from mlreco.inputs import storable
from mlreco.semantics import SCHEMES
from mlreco.yaml_reader import read_yaml

FORMAT_VERSION = 1
NotNegative = Annotated[int, Field(ge=0)]
Text = Annotated[str, AfterValidator(storable)]
"""A text with names of files, which may not be valid UTF-8."""


class _Part(BaseModel):
    """A part of the metadata; keys of later versions are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=(), ser_json_inf_nan="constants")


class Quantiles(_Part):
    """A distribution.

    Attributes:
        probabilities: rising, from 0 to 1.
        values: the quantile at each of them.
    """

    probabilities: tuple[float, ...]
    values: tuple[float, ...]

    @model_validator(mode="after")
    def _check(self) -> Quantiles:
        if not 0 < len(self.probabilities) == len(self.values):
            raise ValueError("as many values as probabilities are needed, and at least one")
        if list(self.probabilities) != sorted(self.probabilities):
            raise ValueError("the probabilities do not rise")
        return self

    def at(self, probability: float) -> float:
        """Return a quantile, interpolated linearly."""
        return float(np.interp(probability, self.probabilities, self.values))


class DataFingerprint(_Part):
    """Properties of events as the network gets them, without augmentation, from events spread evenly over the files.

    Attributes:
        files: the files, the first hundred of them.
        events: number of events in all files; for simulated events without end the highest number.
        endless: whether simulated events are among them, which have no last one.
        sampled: events that the numbers below are made of.
        voxel_size: edges of a voxel, cm.
        image_shapes: shapes of images that occur, at most ten.
        voxels_per_event: voxels of an event.
        energy_per_voxel: features of the network's input, usually MeV.
        digest: sha256 over the sampled events with their labels; the same for the same events in other files.
    """

    files: tuple[Text, ...] = ()
    events: NotNegative
    endless: bool = False
    sampled: NotNegative
    voxel_size: tuple[float, float, float] | None = None
    image_shapes: tuple[tuple[int, int, int], ...] = ()
    voxels_per_event: Quantiles | None = None
    energy_per_voxel: Quantiles | None = None
    digest: str = ""

    @property
    def count(self) -> str:
        """The number of events, for people."""
        return "endless" if self.endless else f"{self.events:,}"


class Run(_Part):
    """A part of a training that went on without a break.

    Attributes:
        first_iteration: iterations completed before it.
        last_iteration: iterations completed when the checkpoint was written.
        started: date and time, ISO 8601.
        seconds: duration.
        begun_from: checkpoint that it continued, or whose weights it took; nothing for random weights.
        resumed: whether it continued that checkpoint exactly.
        averaged_with: part and name of a checkpoint whose weights were averaged with those at its end; none if empty.
        seed: of order and augmentation.
        processes: how many trained together.
        device: CPU or name of the GPU.
        host: name of the machine.
        revision: commit of the program's source, where it ran from a checkout.
        versions: of the program and what it computes with.
    """

    first_iteration: NotNegative
    last_iteration: NotNegative
    started: str
    seconds: float = 0.0
    begun_from: Text = ""
    resumed: bool = False
    averaged_with: Text = ""
    seed: int = 0
    processes: int = 1
    device: str = "cpu"
    host: str = ""
    revision: str = ""
    versions: dict[str, str] = {}


class Metadata(_Part):
    """Metadata of a checkpoint.

    Attributes:
        format_version: of this table.
        config: the whole configuration as YAML text; empty if an old checkpoint does not have it.
        class_scheme: numbering of the classes that the weights were trained in; empty where it is not known.
        classes: their names, in order.
        versions: of the program that wrote the file, and what it computes with.
        data: the training events; None if an old checkpoint does not have them.
        validated_on: digest of the events that are validated on, as `data` has one; empty for none.
        settings: what a training that continues must share: dotted key -> value.
        history: the runs that made the weights, the first one first.
        numbers: what was logged last, by the names of the log, such as the numbers of the validation.
    """

    format_version: int = FORMAT_VERSION
    config: Text = ""
    class_scheme: str = ""
    classes: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    data: DataFingerprint | None = None
    validated_on: str = ""
    settings: dict[str, Any] = {}
    history: tuple[Run, ...] = ()
    numbers: dict[str, float] = {}


def read_metadata(path: str | Path) -> Metadata:
    """Return the metadata of a checkpoint.

    Raises:
        UserError: the file is missing, damaged or no checkpoint.
    """
    return metadata_of(read_checkpoint(path), path)


def metadata_of(checkpoint: Mapping[str, Any], path: str | Path) -> Metadata:
    """Return the metadata in the content of a checkpoint; those that an older one lacks are empty.

    Args:
        checkpoint: content of the file (:func:`read_checkpoint`).
        path: the file, for messages.

    Raises:
        UserError: it is not what this program writes.
    """
    text = checkpoint.get("metadata")
    if text is None:
        return _of_older(checkpoint, path)
    try:
        return Metadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in ("metadata", *first["loc"]))
        raise UserError(f"{path}: {place}: {first['msg']}") from None


def _of_older(checkpoint: Mapping[str, Any], path: str | Path) -> Metadata:
    """Return what is known of a checkpoint without metadata."""
    text, version = checkpoint.get("config"), checkpoint.get("mlreco_version")
    versions = {"mlreco": version} if isinstance(version, str) else {}
    if not isinstance(text, str):
        return Metadata(versions=versions)
    scheme = _scheme(text, path)
    classes = SCHEMES[scheme].classes if scheme in SCHEMES else ()
    return Metadata(config=text, class_scheme=scheme, classes=classes, versions=versions)


def _scheme(text: str, path: str | Path) -> str:
    """Return ``model.class_scheme`` of the YAML text of a configuration; the default where it does not say."""
    try:
        config = read_yaml(text, f"{path}: config") or {}
    except UserError:
        return ""  # of another program
    model = (config.get("model") or {}) if isinstance(config, Mapping) else None
    return str(model.get("class_scheme", "pilarnet")) if isinstance(model, Mapping) else ""
