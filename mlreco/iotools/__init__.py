"""Everything that knows a file format: readers, parsers, datasets, samplers, collation, augmentation, writers."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Augmenter": "mlreco.iotools.augmentation",
    "ClusterVoxels": "mlreco.iotools.interface",
    "CollateSparse": "mlreco.iotools.collate",
    "HDF5Reader": "mlreco.iotools.output",
    "HDF5Writer": "mlreco.iotools.output",
    "LArCV2Reader": "mlreco.iotools.larcv2",
    "LArCV3Reader": "mlreco.iotools.larcv3",
    "LArCV3Writer": "mlreco.iotools.larcv3",
    "LArCVDataset": "mlreco.iotools.dataset",
    "Loader": "mlreco.iotools.loader",
    "PILArNetMReader": "mlreco.iotools.pilarnet_m",
    "OutputEventsReader": "mlreco.iotools.output.events",
    "Reader": "mlreco.iotools.interface",
    "convert": "mlreco.iotools.conversion",
    "expand_sources": "mlreco.iotools.files",
    "find_parser": "mlreco.iotools.parsers",
    "flat_index": "mlreco.iotools.interface",
    "loader_factory": "mlreco.iotools.factories",
    "open_reader": "mlreco.iotools.readers",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
