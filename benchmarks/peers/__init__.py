"""Sparse convolutions of others, each behind the same few functions, imported only where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from benchmarks.peers.network import Layers

MODULES = {
    "spconv": "benchmarks.peers.spconv_layers",
    "SparseConvNet": "benchmarks.peers.sparseconvnet_layers",
    "MinkowskiEngine": "benchmarks.peers.minkowski_layers",
}


def installed() -> Iterator[tuple[str, Layers]]:
    """Yield name and layers of every peer that can be imported."""
    for name, module in MODULES.items():
        try:
            yield name, importlib.import_module(module).layers()
        except ImportError:
            continue
