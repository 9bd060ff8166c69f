"""Section ``iotool``: files, products, batches."""

from __future__ import annotations

import glob
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mlreco.config.sections.base import Count, Integer, Names, Positive, Section, named
from mlreco.course import Course


class Sampler(Section):
    """The order of events.

    Attributes:
        name: a sampler of `mlreco.iotools`.
        seed: of its random numbers; negative for `trainval.seed`.
        batch_size: the same as that of the section ``iotool``.
    """

    omit_absent: ClassVar[bool] = True

    name: str
    seed: Integer = -1
    batch_size: Positive | None = None


def _entry(value: Any) -> Any:
    """Check one entry of a schema, which may have the list form of 2020 or the form with ``parser`` and ``args``."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return value
    if isinstance(value, dict):
        return value
    raise PydanticCustomError("schema", "expected {parser: NAME, args: {...}} or [NAME, PRODUCT, ...]")


def _numbers(value: Any) -> Any:
    """Return the numbers of a text such as ``[6436, 562]``."""
    if isinstance(value, str) and re.fullmatch(r"[\d\s,\[\]]*", value):
        return [int(number) for number in re.findall(r"\d+", value)]
    return value


def _all_files(value: Any) -> Any:
    """Return 0, which means all files, for -1, which means it in configurations of lartpc_mlreco3d."""
    return 0 if value == -1 else value


Numbers = Annotated[list[Count], BeforeValidator(_numbers)]
"""Entry numbers, also as a text."""


def _course(least: float) -> BeforeValidator:
    """Return the check of a number of at least ``least`` that may change while training: see `mlreco.course`."""

    def check(value: Any) -> Any:
        try:
            course = Course.of(value)
        except ValueError as error:
            raise PydanticCustomError("course", "{text}", {"text": str(error)}) from None
        if course.least < least:
            raise PydanticCustomError(
                "course", "expected at least {least}, not {value}", {"least": least, "value": course.least}
            )
        return value

    return BeforeValidator(check)


Weight = Annotated[Any, _course(0)]
Limit = Annotated[Any, _course(1)]

SIMULATED = "SimulatedDataset"
"""Name of the dataset that needs no files."""


def _files_of(folder: Any, part: str) -> Any:
    """Return the pattern of the files of a folder whose names contain a text; the folder itself for an empty one."""
    if not isinstance(folder, str):
        return folder  # the check of types refuses it
    return f"{glob.escape(folder)}/*{glob.escape(part)}*" if part else folder


class Parser(Section):
    """A parser and the products that it reads."""

    parser: str
    args: dict[str, Any] = {}


class Source(Section):
    """Events of one kind in a training.

    Attributes:
        data_keys: files, globs, folders or ``.txt`` lists.
        simulation: options of events that are simulated while training, instead of files (extra ``simulate``).
        weight: share of the events of a batch, relative to the other sources: a number, or ``[[iteration, number],
            ...]`` with straight lines between; the number of its events if absent.
    """

    omit_absent: ClassVar[bool] = True

    data_keys: Annotated[Names, Field(min_length=1)] | None = None
    simulation: dict[str, Any] | None = None
    weight: Weight | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Source:
        if (self.data_keys is None) == (self.simulation is None):
            raise PydanticCustomError("source", "expected either data_keys or simulation")
        if self.simulation is not None and self.weight is None:
            raise PydanticCustomError("source", "weight is missing: a simulation has no number of events")
        return self


class Dataset(Section):
    """The events.

    Attributes:
        name: a reader of `mlreco.iotools`.
        data_keys: files, globs, folders or ``.txt`` lists; ``file_keys`` is another name for it, and folders in
            ``data_dirs`` with a ``data_key`` that the names of the files contain are another form of it.
        limit_num_files: use the first so many files only; 0 or -1 for all.
        event_list: entry numbers to read, also as a text; all if absent.
        skip_event_list: entry numbers to leave out, also as a text.
        entry_range: first entry to read and the one after the last.
        reader: name of a reader; by the content of the files if absent.
        simulation: what `SimulatedDataset` simulates for a training; anything else reads the files.
        sources: name -> events of one kind, instead of `data_keys`; a training draws them by their weights, each in
            shuffled passes. Inference reads their files one after another.
        max_voxels: a training passes over events with more voxels: a number, or ``[[iteration, number], ...]`` with
            straight lines between; the order is shuffled.
        entries: name of a product for the network -> the parser that makes it (``schema`` in files).
    """

    omit_absent: ClassVar[bool] = True

    name: str = "LArCVDataset"
    data_keys: Annotated[Names, Field(min_length=1)] | None = None
    limit_num_files: Annotated[Count, BeforeValidator(_all_files)] | None = None
    event_list: Numbers | None = None
    skip_event_list: Numbers | None = None
    entry_range: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None
    reader: str | None = None
    simulation: dict[str, Any] | None = None
    sources: Annotated[dict[str, Source], Field(min_length=1)] | None = None
    max_voxels: Limit | None = None
    entries: Annotated[dict[str, Annotated[Parser | list[str], BeforeValidator(_entry)]], Field(min_length=1)] = Field(
        alias="schema"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, values: Any) -> Any:
        """Turn ``file_keys``, or ``data_dirs`` and ``data_key``, into ``data_keys``."""
        given = [key for key in ("data_keys", "file_keys", "data_dirs") if isinstance(values, dict) and key in values]
        if len(given) > 1:
            raise PydanticCustomError("twice", f"{given[0]} and {given[1]} both name the files: give one")
        if not given or (given == ["data_keys"] and "data_key" not in values):
            return values
        if "data_key" in values and (given != ["data_dirs"] or not isinstance(values["data_key"], str)):
            raise PydanticCustomError("data_key", "data_key is a text in the names of files, and goes with data_dirs")
        rest = {key: value for key, value in values.items() if key not in (*given, "data_key")}
        sources = values[given[0]]
        if "data_key" in values:
            folders = [sources] if isinstance(sources, str) else sources
            sources = [_files_of(folder, values["data_key"]) for folder in folders]
        return {**rest, "data_keys": sources}

    @model_validator(mode="after")
    def _some_events(self) -> Dataset:
        if self.sources is not None:
            if self.data_keys is not None or self.name == SIMULATED:
                raise PydanticCustomError("twice", "sources say which events: no other name, and data_keys: null")
            given = [source.weight is not None for source in self.sources.values()]
            if any(given) and not all(given):
                raise PydanticCustomError("weights", "some sources have a weight and some have none: give all or none")
            return self
        if self.name == SIMULATED and self.max_voxels is not None:
            raise PydanticCustomError("max_voxels", "max_voxels goes with files: simulated events have no size before")
        if self.name == SIMULATED or self.data_keys is not None:
            if self.name != SIMULATED and self.simulation is not None:
                raise PydanticCustomError("simulation", f"simulation goes with name: {SIMULATED}")
            return self
        raise PydanticCustomError("events", "data_keys is missing: the files of events")


class IOTool(Section):
    """Reading and batching of events.

    Attributes:
        batch_size: events in a batch: those of one step of the optimiser, of all processes together.
        minibatch_size: events that go through the network at once; -1 for those of a batch. The gradients of the
            minibatches of a batch add up to that of the batch; only batch normalisation sees the minibatch alone.
        shuffle: whether the loader shuffles the events, if there is no sampler.
        num_workers: processes that read; 0 for none beside the main one.
        collate_fn: how events become a batch.
        sampler: the order of events; sequential if absent.
        augment: name of an augmentation -> its argument; training only. The widths ``charge_scale`` and
            ``charge_jitter`` may change: ``[[iteration, number], ...]`` with straight lines between.
        pin_memory: page-locked batches, for CUDA; if absent, where the network runs on CUDA.
        on_error: what to do with an event that cannot be read: ``raise`` ends the run, ``skip`` leaves it out, counts
            and lists it.
        dataset: the events.
    """

    omit_absent: ClassVar[bool] = True

    batch_size: Positive = 1
    minibatch_size: Integer = -1
    shuffle: bool = False
    num_workers: Count = 0
    collate_fn: str = "CollateSparse"
    sampler: Annotated[Sampler, BeforeValidator(named)] | None = None
    augment: dict[str, Any] | None = None
    pin_memory: bool | None = None
    on_error: Literal["raise", "skip"] = "raise"
    dataset: Dataset

    @model_validator(mode="before")
    @classmethod
    def _collate(cls, values: Any) -> Any:
        """Accept ``collate: {collate_fn: NAME}``, the later form of ``collate_fn: NAME``."""
        if not isinstance(values, dict) or "collate" not in values:
            return values
        collate = values["collate"]
        rest = {key: value for key, value in values.items() if key != "collate"}
        if not isinstance(collate, dict) or "collate_fn" not in collate or "collate_fn" in values:
            raise PydanticCustomError("collate", "expected collate: {collate_fn: NAME}, or collate_fn: NAME")
        if len(collate) > 1:
            unknown = next(key for key in collate if key != "collate_fn")
            raise PydanticCustomError("collate", f"collate.{unknown} is not supported; only collate.collate_fn is")
        return {**rest, "collate_fn": collate["collate_fn"]}

    @model_validator(mode="after")
    def _minibatches(self) -> IOTool:
        if self.minibatch_size == 0 or self.minibatch_size < -1 or self.minibatch_size > self.batch_size:
            sizes = f"minibatch_size is {self.minibatch_size} and batch_size {self.batch_size}"
            raise PydanticCustomError("minibatch", f"{sizes}: expected -1, or 1 to batch_size")
        return self
