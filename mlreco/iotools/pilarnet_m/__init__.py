"""PILArNet-M HDF5 files."""

from mlreco.iotools.pilarnet_m.reader import PILArNetMReader

__all__ = ["PILArNetMReader"]
