"""Particles of a LArCV2 file as a structured array, with LArCV3's field names and all further fields of the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlreco.iotools.larcv2.layout import PARTICLE_PREFIX, particle_field
from mlreco.iotools.larcv2.leaves import Leaf
from mlreco.iotools.larcv2.streams import strings, vectors
from mlreco.iotools.larcv3.extension import children_table
from mlreco.iotools.larcv3.layout import PARTICLE, PARTICLE_POINTS, POINT

_AXES = ("x", "y", "z", "t")
_CHILDREN = "children_id"
_PROCESS = "process"


class ParticleLeaves:
    """Leaves of the particle tree.

    Args:
        leaves: name of a leaf (``_part_v._pdg``) to its branch.
    """

    def __init__(self, leaves: dict[str, Any]) -> None:
        import uproot

        as_bytes = uproot.AsJagged(uproot.AsDtype("u1"))
        self._numbers: dict[str, Leaf] = {}
        self._types: dict[str, np.dtype] = {}
        self._streams: dict[str, Leaf] = {}
        self._child_type = np.dtype(">u8")
        for name, branch in leaves.items():
            if not name.startswith(PARTICLE_PREFIX):
                continue
            field, interpretation = particle_field(name), branch.interpretation
            if isinstance(interpretation, uproot.AsJagged) and isinstance(interpretation.content, uproot.AsDtype):
                self._numbers[field] = Leaf(branch)
                self._types[field] = interpretation.content.from_dtype.newbyteorder("=")
            elif field in (_PROCESS, _CHILDREN):
                self._streams[field] = Leaf(branch, as_bytes)
                if field == _CHILDREN:
                    self._child_type = _element_type(branch.typename)
        points = [name for name in PARTICLE_POINTS if f"{name}_x" in self._numbers]
        self._parts = {f"{name}_{axis}": (name, axis) for name in points for axis in _AXES}
        scalars = [name for name in self._numbers if name not in self._parts]
        known = [name for name in PARTICLE.names or () if name in {*points, *scalars, *self._streams}]
        others = [name for name in scalars if name not in known]
        self._fields = [(name, POINT if name in points else self._types.get(name)) for name in [*known, *others]]

    def read(self, index: int) -> np.ndarray:
        """Return the particles of an event.

        Raises:
            ValueError: damaged data.
        """
        columns = {name: leaf[index] for name, leaf in self._numbers.items()}
        counts = {len(column) for column in columns.values()}
        if len(counts) != 1:
            raise ValueError(f"its fields have {', '.join(map(str, sorted(counts)))} particles")
        count = counts.pop()
        texts = strings(self._streams[_PROCESS][index], count) if _PROCESS in self._streams else []
        width = max([64, *map(len, texts)])
        types: list[tuple] = [(name, f"S{width}" if name == _PROCESS else dtype) for name, dtype in self._fields]
        children = None
        if _CHILDREN in self._streams:
            children = _padded(vectors(self._streams[_CHILDREN][index], count, self._child_type))
            types.append((_CHILDREN, np.int64, (children.shape[1],)))
        table = np.zeros(count, dtype=types)
        for name, column in columns.items():
            point, axis = self._parts.get(name, (None, None))
            target = table[name] if point is None else table[point][axis]
            target[:] = column
        if texts:
            table[_PROCESS] = texts
        if children is not None:
            table[_CHILDREN] = children
        return table


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    """Return the children of each particle as one (P, K) int64 array, filled up with -1.

    Raises:
        ValueError: it would take gigabytes.
    """
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    return children_table(counts, np.concatenate([np.zeros(0, np.int64), *(row.astype(np.int64) for row in rows)]))


def _element_type(typename: str) -> np.dtype:
    """Return the big-endian type of ``std::vector<uint64_t>[]``."""
    return np.dtype(">u2" if "uint16" in typename else ">u4" if "uint32" in typename else ">u8")
