"""Files of fragment graphs, from which ``grappa`` is trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.filekind import OUTPUT_FILE, has_content, open_hdf5, telling_damage
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.post_processing.fragment_graph import FEATURE_VERSION, FragmentGraph, FragmentTruth, LabelledGraph

PRODUCT = "graph_fragments"
"""Name under which a schema asks for the graphs."""
GRAPH, TRUTH = "graph_", "truth_"
"""Beginnings of the names of the tables in the file; the rest are the names of the attributes."""

KEPT_SHARE = 0.25
"""Share of the machine's memory for events that were read, of all files together."""

_KEEPING: WeakSet[FragmentReader] = WeakSet()
"""Readers of this process that keep events."""


class FragmentReader:
    """Graphs of the events of one file that ``mlreco fragments`` wrote.

    Events stay in memory once they are read, until those of all files take ``KEPT_SHARE`` of it: a training reads each
    many times, and unpacking them takes longer than learning from them.

    Args:
        path: the file.

    Raises:
        UserError: the file is missing, truncated, damaged, without labels, or of features of another version.
    """

    format_name = "fragment graphs of mlreco"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader = HDF5Reader(path)
        version = self._reader.info.get("feature_version")
        if version != FEATURE_VERSION:
            raise UserError(
                f"{path}: holds version {version} of the features of fragments, this mlreco makes version "
                f"{FEATURE_VERSION}; make the file again with 'mlreco fragments'"
            )
        wanted = [f"{GRAPH}{name}" for name in FragmentGraph.__dataclass_fields__]
        missing = [name for name in (*wanted, "event_id") if name not in self._reader.products]
        if missing:
            raise UserError(f"{path}: damaged file of fragments: no product '{missing[0]}'")
        self._truths = [f"{TRUTH}{name}" for name in FragmentTruth.__dataclass_fields__]
        self._graphs = wanted
        self._kept: dict[int, dict[str, np.ndarray]] = {}
        self._kept_bytes = 0
        self.class_scheme = str(self._reader.info.get("class_scheme", "pilarnet"))
        self._reader.close()

    @classmethod
    def recognizes(cls, path: str | Path) -> bool:
        """Whether the content of the file is graphs of fragments.

        Raises:
            UserError: the file is missing, truncated or damaged.
        """
        if not has_content(path, OUTPUT_FILE):
            return False
        with open_hdf5(path, "a file of events", merged=True) as file, telling_damage(path):
            return f"{GRAPH}nodes" in file.get("products", ())

    def __len__(self) -> int:
        return len(self._reader)

    def products(self) -> tuple[str, ...]:
        """Names of the products."""
        return (PRODUCT,)

    def event_id(self, index: int) -> np.ndarray:
        """Return run, subrun and event number, (3,) int64."""
        return self._reader.event(index, ["event_id"])["event_id"][0]

    def graph(self, index: int, producer: str) -> LabelledGraph:
        """Return the graph of an event and the truth of its fragments.

        Raises:
            UserError: no such product, damaged data.
        """
        if f"graph_{producer}" != PRODUCT:
            raise self._unknown(f"graph_{producer}")
        labelled = all(name in self._reader.products for name in self._truths)
        event = self._event(index, labelled)
        graph = FragmentGraph(**_attributes(event, GRAPH))
        return LabelledGraph(graph, FragmentTruth(**_attributes(event, TRUTH)) if labelled else None)

    def _event(self, index: int, labelled: bool) -> dict[str, np.ndarray]:
        if index in self._kept:
            return self._kept[index]
        event = self._reader.event(index, [*self._graphs, *(self._truths if labelled else ())])
        size = sum(rows.nbytes for rows in event.values())
        if sum(reader._kept_bytes for reader in _KEEPING) + size <= _memory() * KEPT_SHARE:
            self._kept[index] = event
            self._kept_bytes += size
            _KEEPING.add(self)
        return event

    def sparse3d(self, index: int, producer: str) -> Any:
        """There are no voxels.

        Raises:
            UserError: always.
        """
        raise self._unknown(f"sparse3d_{producer}")

    cluster3d = particles = sparse3d

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        self._reader.close()

    def _unknown(self, product: str) -> UserError:
        return UserError(f"{self.path}: no product '{product}'; the file holds {PRODUCT}")


def _memory() -> int:
    """Bytes of memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _attributes(event: dict[str, np.ndarray], beginning: str) -> dict[str, np.ndarray]:
    named = {name.removeprefix(beginning): rows for name, rows in event.items() if name.startswith(beginning)}
    return {name: rows.astype(np.float32) if rows.dtype == np.float16 else rows for name, rows in named.items()}
