"""Section ``iotool``: files, products, batches."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mlreco.config.sections.base import Count, Integer, Names, Positive, Section, named


class Sampler(Section):
    """The order of events.

    Attributes:
        name: a sampler of `mlreco.iotools`.
        seed: of its random numbers; negative for `trainval.seed`.
        batch_size: accepted for compatibility; the batch size is that of the section ``iotool``.
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


class Parser(Section):
    """A parser and the products that it reads."""

    parser: str
    args: dict[str, Any] = {}


class Dataset(Section):
    """The events.

    Attributes:
        name: a reader of `mlreco.iotools`.
        data_keys: files, as paths or globs; ``file_keys`` is another name for it.
        data_dirs: folders that hold the files.
        data_key: text that the names of files in `data_dirs` contain.
        limit_num_files: use the first so many files only; 0 for all.
        event_list: entry numbers to read, or a text of them; all if absent.
        entries: name of a product for the network -> the parser that makes it (``schema`` in files).
    """

    omit_absent: ClassVar[bool] = True

    name: str = "LArCVDataset"
    data_keys: Names | None = None
    data_dirs: Names | None = None
    data_key: str | None = None
    limit_num_files: Count | None = None
    event_list: list[int] | str | None = None
    entries: Annotated[dict[str, Annotated[Parser | list[str], BeforeValidator(_entry)]], Field(min_length=1)] = Field(
        alias="schema"
    )

    @model_validator(mode="before")
    @classmethod
    def _file_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "file_keys" not in values:
            return values
        if "data_keys" in values:
            raise PydanticCustomError("twice", "data_keys and file_keys are two names of one thing: give one")
        return {**{key: value for key, value in values.items() if key != "file_keys"}, "data_keys": values["file_keys"]}


class IOTool(Section):
    """Reading and batching of events.

    Attributes:
        batch_size: events in a batch.
        minibatch_size: events that go through the network at once, gradients being summed; -1 for `batch_size`.
        shuffle: whether the loader shuffles the events, if there is no sampler.
        num_workers: processes that read; 0 for none beside the main one.
        collate_fn: how events become a batch.
        sampler: the order of events; sequential if absent.
        augment: name of an augmentation -> its arguments; training only.
        pin_memory: page-locked batches, for CUDA.
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
    pin_memory: bool = False
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
