"""Everything that knows a file format: readers, parsers, datasets, samplers, collation, augmentation, writers."""

from __future__ import annotations

from mlreco.on_demand import on_demand

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

__getattr__ = on_demand(__name__, _HOMES)
