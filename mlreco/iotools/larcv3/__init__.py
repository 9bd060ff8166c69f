"""LArCV3 HDF5 files, read and written through h5py alone."""

from mlreco.iotools.larcv3.reader import LArCV3Reader

__all__ = ["LArCV3Reader"]
