"""LArCV3 HDF5 files, read and written through h5py alone."""

from mlreco.iotools.larcv3.layout import PARTICLE
from mlreco.iotools.larcv3.reader import LArCV3Reader
from mlreco.iotools.larcv3.writer import LArCV3Writer

__all__ = ["PARTICLE", "LArCV3Reader", "LArCV3Writer"]
