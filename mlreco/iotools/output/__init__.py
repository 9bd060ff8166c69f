"""The output file: flat values and event offsets per product, laid out for SPINE's reader of version 2 files."""

from mlreco.iotools.output.reader import HDF5Reader
from mlreco.iotools.output.writer import HDF5Writer

__all__ = ["HDF5Reader", "HDF5Writer"]
