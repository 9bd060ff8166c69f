"""LArCV2 ROOT files, read through uproot without ROOT."""

from mlreco.iotools.larcv2.reader import LArCV2Reader

__all__ = ["LArCV2Reader"]
