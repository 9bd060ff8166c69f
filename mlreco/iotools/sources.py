"""The events of a training and their order, from ``iotool.dataset.sources`` and ``max_voxels``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.course import Course
from mlreco.errors import UserError
from mlreco.iotools.files import expand_sources
from mlreco.iotools.joint import JointDataset
from mlreco.iotools.mixing import MixedSampler, Source

KEYS = ("sources", "max_voxels")
"""Keys of ``iotool.dataset`` for the way in which the events of a training are drawn."""


def mixed(
    options: Mapping[str, Any],
    make: Callable[[Mapping[str, Any]], Any],
    image: str | None,
    batch_size: int,
    seed: int,
) -> tuple[Any, MixedSampler]:
    """Return the events of a training and their order.

    Args:
        options: the section ``iotool.dataset``.
        make: makes a dataset of such a section without ``sources`` and ``max_voxels``.
        image: schema key of the image whose voxels are counted.
        batch_size: events of a batch.
        seed: of the order.

    Raises:
        UserError: the events cannot be read, a file belongs to two sources, or weights or limits make no sense.
    """
    common = {key: value for key, value in options.items() if key not in KEYS}
    limit = None if options.get("max_voxels") is None else Course.of(options["max_voxels"])
    if not options.get("sources"):
        dataset = make(common)
        whole = Source("the files", np.arange(len(dataset)), Course.of(1.0), _sizes(dataset, image, limit))
        return dataset, MixedSampler([whole], batch_size, seed, limit)
    dataset, entries = _joined(options["sources"], common, make)
    endless = {name for name, source in options["sources"].items() if source.get("simulation") is not None}
    if endless and limit is not None:
        raise UserError(f"iotool.dataset.max_voxels: the simulated events of {min(endless)} have no size before")
    sizes = _sizes(dataset, image, limit)
    sources = [
        Source(
            f"iotool.dataset.sources.{name}",
            entries[name],
            Course.of(len(entries[name]) if source.get("weight") is None else source["weight"]),
            None if sizes is None else sizes[entries[name]],
            name in endless,
        )
        for name, source in options["sources"].items()
    ]
    return dataset, MixedSampler(sources, batch_size, seed, limit)


def _sizes(dataset: Any, image: str | None, limit: Course | None) -> np.ndarray | None:
    return None if limit is None else dataset.voxel_counts(image)


def _joined(
    sources: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Any]
) -> tuple[Any, dict[str, np.ndarray]]:
    """Return one dataset of all sources, and by source the places of its events; of an endless one the first."""
    chosen, owners = _owners(sources)
    parts, entries = [], {}
    if chosen:
        files = make({**common, "name": "LArCVDataset", "data_keys": chosen})
        owner = np.array([owners[file.resolve()] for file in files.files])[files.file_numbers()]
        for name, source in sources.items():
            if source.get("data_keys"):
                entries[name] = np.flatnonzero(owner == name)
                if not len(entries[name]):
                    raise UserError(f"iotool.dataset.sources.{name}: there are no events to read")
        parts.append(files)
    simulated = [name for name, source in sources.items() if source.get("simulation") is not None]
    for name in simulated:
        parts.append(make({**common, "name": "SimulatedDataset", "simulation": sources[name]["simulation"]}))
    dataset = parts[0] if len(parts) == 1 else JointDataset(parts)
    firsts = [0] if len(parts) == 1 else dataset.firsts
    for name, first in zip(simulated, firsts[len(parts) - len(simulated) :], strict=True):
        entries[name] = np.array([first])
    return dataset, entries


def _owners(sources: Mapping[str, Mapping[str, Any]]) -> tuple[list[Path], dict[Path, str]]:
    """Return the files of all sources, and by real path the name of the source of each.

    Raises:
        UserError: one belongs to two of them, or there are none where some should be.
    """
    chosen: list[Path] = []
    owners: dict[Path, str] = {}
    for name, source in sources.items():
        for file in expand_sources(source["data_keys"]) if source.get("data_keys") else ():
            other = owners.setdefault(file.resolve(), name)
            if other != name:
                raise UserError(f"iotool.dataset.sources: {file} belongs to {other} and to {name}")
            chosen.append(file)
    return chosen, owners
