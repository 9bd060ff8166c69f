"""Others that read LArCV3 files: h5py without any decoding, and the larcv library where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

RAW = "h5py, rows as they are"
PARTIAL = (RAW,)
"""Contenders that do less than ours, so that a ratio would mean nothing."""

_TABLES = {
    "sparse3d": (("extents", "voxel_extents"), "voxels"),
    "cluster3d": (("extents", "projection_extents", "cluster_extents"), "voxels"),
    "particle": (("extents",), "particles"),
}
"""Tables that lead to the rows of an event, and the table of the rows."""


def larcv3(path: Path, products: tuple[str, ...]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield name and function of everyone that can read the products of all events of a file."""
    yield RAW, _raw(path, products)
    try:
        import larcv
    except ImportError:
        return
    yield "larcv", _library(larcv, path, products)


def _raw(path: Path, products: tuple[str, ...]) -> Callable[[], None]:
    file = h5py.File(path)
    ranges, tables = {}, {}
    for product in products:
        group, (parents, rows) = file[f"Data/{product}_group"], _TABLES[product.partition("_")[0]]
        ranges[product] = _ends([group[parent][()] for parent in parents])
        tables[product] = group[rows]

    def run() -> None:
        for product, table in tables.items():
            for first, end in ranges[product]:
                table[first:end]

    return run


def _ends(parents: list[Any]) -> list[tuple[int, int]]:
    """Return the first row of each event and the one after its last, through one table after another."""
    found = [(int(row["first"]), int(row["first"]) + int(row["N"])) for row in parents[0]]
    for table in parents[1:]:
        firsts, ends = table["first"].astype(int), (table["first"] + table["N"]).astype(int)
        found = [(int(firsts[first]), int(ends[end - 1])) for first, end in found]
    return found


def _library(larcv: Any, path: Path, products: tuple[str, ...]) -> Callable[[], None]:
    manager = larcv.IOManager(larcv.IOManager.kREAD)
    manager.add_in_file(str(path))
    manager.initialize()
    names = [product.partition("_")[::2] for product in products]

    def run() -> None:
        for index in range(manager.get_n_entries()):
            manager.read_entry(index)
            for kind, producer in names:
                manager.get_data(kind, producer)

    return run
