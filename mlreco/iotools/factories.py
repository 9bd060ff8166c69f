"""Makes the loader of the ``iotool`` section of a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlreco.errors import UserError, nearest
from mlreco.iotools.augmentation import make_augmenter
from mlreco.iotools.collate import COLLATES
from mlreco.iotools.dataset import LArCVDataset
from mlreco.iotools.loader import Loader
from mlreco.iotools.plan import WHOLE, Shard
from mlreco.iotools.samplers import Sampler, SequentialSampler, make_sampler
from mlreco.iotools.skipped import ON_ERROR
from mlreco.iotools.sources import KEYS as HOW_DRAWN
from mlreco.iotools.sources import mixed
from mlreco.registry import Registry

DATASETS = Registry(
    "dataset",
    {
        "LArCVDataset": "mlreco.iotools.dataset:LArCVDataset",
        "SimulatedDataset": "mlreco.simulation.dataset:SimulatedDataset",
    },
)
_DATASET_KEYS = (
    "name",
    "data_keys",
    "schema",
    "limit_num_files",
    "event_list",
    "skip_event_list",
    "entry_range",
    "reader",
    "simulation",
    *HOW_DRAWN,
)
_OF_FILES = ("data_keys", "limit_num_files", "event_list", "skip_event_list", "entry_range", "reader")
"""Keys of a dataset that select files and events; a dataset without end needs none of them."""


def loader_factory(
    iotool: Mapping[str, Any],
    *,
    seed: int = 0,
    train: bool,
    optional: Iterable[str] = (),
    start_iteration: int = 0,
    sources: str | Path | Sequence[str | Path] | None = None,
    class_scheme: str = "pilarnet",
    energies: str | None = None,
    pin_memory: bool = False,
    shard: Shard = WHOLE,
) -> Loader:
    """Make the loader of an ``iotool`` section.

    Args:
        iotool: the section; it is not changed.
        seed: seed of sampling and augmentation.
        train: infinite, sampled and augmented batches; else one pass over all events in order, without augmentation.
        optional: schema keys that may be missing in the files (labels); see ``LArCVDataset``.
        start_iteration: number of batches already consumed by the training.
        sources: files that replace ``dataset.data_keys`` (and lift ``limit_num_files``).
        class_scheme: numbering of semantic classes, for the parsers.
        energies: schema key of the image whose values must not be negative.
        pin_memory: page-locked batches where the section does not say.
        shard: the part of every batch that this process trains on.

    Raises:
        UserError: an unknown key or name, wrong numbers, files that cannot be read.
    """
    minibatch_size = _minibatch_size(iotool)
    batch_size = _whole(iotool, "batch_size", 1, 1) if train else minibatch_size
    skip = _skips_events(iotool)
    options = {"optional": tuple(optional), "class_scheme": class_scheme, "energies": energies, "skip": skip}
    dataset, sampler = _events_in_order(iotool, train, sources, batch_size, seed, options)
    collate = COLLATES.get(iotool.get("collate_fn") or "CollateSparse")
    return Loader(
        dataset,
        sampler,
        batch_size,
        train=train,
        seed=seed,
        collate=collate() if isinstance(collate, type) else collate,
        num_workers=_whole(iotool, "num_workers", 0, 0),
        pin_memory=bool(iotool.get("pin_memory", pin_memory)),
        start_iteration=start_iteration if train else 0,
        skip=skip,
        minibatch_size=minibatch_size,
        shard=shard if train else WHOLE,
    )


def _minibatch_size(iotool: Mapping[str, Any]) -> int:
    """Return how many events go through the network at once."""
    batch_size = _whole(iotool, "batch_size", 1, 1)
    at_once = _whole(iotool, "minibatch_size", -1, -1)
    return min(at_once, batch_size) if at_once > 0 else batch_size


def _skips_events(iotool: Mapping[str, Any]) -> bool:
    """Tell whether events that cannot be read are left out rather than end the run."""
    on_error = iotool.get("on_error", "raise")
    if on_error not in ON_ERROR:
        raise UserError(f"iotool.on_error: no way '{on_error}'{nearest(on_error, ON_ERROR)}")
    return on_error == "skip"


def _events_in_order(
    iotool: Mapping[str, Any],
    train: bool,
    sources: str | Path | Sequence[str | Path] | None,
    batch_size: int,
    seed: int,
    given: Mapping[str, Any],
) -> tuple[Any, Sampler]:
    """Make the dataset, and the sampler that chooses the events of a batch."""
    options = dict(iotool.get("dataset") or {})
    for key in options:
        if key not in _DATASET_KEYS:
            raise UserError(f"iotool.dataset: unknown key '{key}'{nearest(key, _DATASET_KEYS)}")

    def make(section: Mapping[str, Any]) -> Any:
        return _make_dataset(section, iotool.get("augment"), train, sources, seed, given)

    if train and not sources and any(options.get(key) is not None for key in HOW_DRAWN):
        return mixed(options, make, given["energies"], batch_size, _seed_of_shuffling(iotool, seed))
    dataset = make(_without_shares(options))
    if not train or _endless(dataset):
        return dataset, SequentialSampler(len(dataset), batch_size)
    default = {"name": "RandomSampler" if iotool.get("shuffle") else "SequentialSampler"}
    return dataset, make_sampler(iotool.get("sampler") or default, len(dataset), batch_size, seed)


def _seed_of_shuffling(iotool: Mapping[str, Any], seed: int) -> int:
    """Return the seed of the order of events that are drawn by their source or size.

    Raises:
        UserError: the configuration asks for another order.
    """
    sampler = iotool.get("sampler") or {"name": "RandomSampler"}
    if sampler["name"] != "RandomSampler":
        name = sampler["name"]
        raise UserError(f"iotool.sampler: dataset.sources and max_voxels shuffle the events, which {name} does not")
    own = sampler.get("seed")
    return seed if own is None or own < 0 else own


def _without_shares(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section of a dataset whose sources are one list of files."""
    rest = {key: value for key, value in options.items() if key not in HOW_DRAWN}
    sources = (options.get("sources") or {}).values()
    files = [file for source in sources for file in source.get("data_keys") or ()]
    return {"data_keys": files, **rest} if files else rest


def _make_dataset(
    section: Mapping[str, Any],
    augment: Mapping[str, Any] | None,
    train: bool,
    sources: str | Path | Sequence[str | Path] | None,
    seed: int,
    given: Mapping[str, Any],
) -> Any:
    """Make the dataset; simulated events without end are for training only, and not used where files are given."""
    options = dict(section)
    if sources:
        options["data_keys"] = sources
        options.pop("limit_num_files", None)
    kind, simulation = DATASETS.get(options.pop("name", "LArCVDataset")), options.pop("simulation", None)
    if _endless(kind) and train and not sources:
        given = {**given, "simulation": simulation, "seed": seed}
        options = {key: value for key, value in options.items() if key not in _OF_FILES}
    else:
        kind = LArCVDataset if _endless(kind) else kind
        if not options.get("data_keys"):
            raise UserError("iotool.dataset.data_keys is missing: say which files with -s FILES")
    if not options.get("schema"):
        raise UserError("iotool.dataset.schema is missing")
    return kind(**options, **given, augmenter=make_augmenter(augment) if train else None)


def _endless(dataset: Any) -> bool:
    """Whether a dataset, or those of a class, has no end: its events come in order, each only once."""
    return getattr(dataset, "endless", False)


def _whole(iotool: Mapping[str, Any], key: str, default: int, least: int) -> int:
    value = iotool.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"iotool.{key} must be a whole number of at least {least}, not {value!r}")
    return value
