"""Fields of particles that LArCV3 lacks: a table beside the particles, row for row, which the larcv library ignores.

``particles_extension`` has a column for each field. The children of a particle, of which there may be any number, are
rows ``first_child`` to ``first_child + num_children`` of the table ``particles_children``.
"""

from __future__ import annotations

import numpy as np

from mlreco.iotools.larcv3.layout import PARTICLE

EXTENSION, CHILDREN = "particles_extension", "particles_children"
CHILDREN_FIELD = "children_id"
CHILD = np.dtype("<i8")
_SPAN = [("first_child", "<u8"), ("num_children", "<u4")]


def extension_type(fields: np.dtype) -> np.dtype | None:
    """Return the columns of the extension for particles with these fields; None where LArCV3 has them all."""
    names = fields.names or ()
    extra = [(name, fields[name]) for name in names if name not in (PARTICLE.names or ()) and name != CHILDREN_FIELD]
    columns = extra + (_SPAN if CHILDREN_FIELD in names else [])
    return np.dtype(columns) if columns else None


def split(particles: np.ndarray, first_child: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split particles into the rows of LArCV3's table, of the extension and of the children.

    Args:
        particles: structured array; ``children_id`` is (P, K), filled up with -1.
        first_child: number of rows in the table of children so far.

    Raises:
        ValueError: a number or text does not fit LArCV3's column.
    """
    rows = np.zeros(len(particles), dtype=PARTICLE)
    fields = particles.dtype
    extension = np.zeros(len(particles), dtype=extension_type(fields) or np.dtype([]))
    children = np.zeros(0, CHILD)
    for name in fields.names or ():
        column = particles[name]
        if name == CHILDREN_FIELD:
            counts = (column >= 0).sum(axis=1)
            extension["num_children"] = counts
            extension["first_child"] = first_child + np.cumsum(counts) - counts
            children = column[column >= 0].astype(CHILD)
        elif name in (PARTICLE.names or ()):
            rows[name] = column
            if not np.can_cast(fields[name], PARTICLE[name], "safe") and (rows[name] != column).any():
                raise ValueError(f"field '{name}' holds a value that does not fit LArCV3's {PARTICLE[name]}")
        else:
            extension[name] = column
    return rows, extension, children


def join(particles: np.ndarray, extension: np.ndarray, children: np.ndarray) -> np.ndarray:
    """Invert ``split``.

    Args:
        particles: (P,) rows of the particles.
        extension: (P,) rows of the extension.
        children: the children of these particles, one after the other.

    Raises:
        ValueError: children that do not belong to the rows.
    """
    spans = {name for name, _ in _SPAN}
    extra = [name for name in extension.dtype.names or () if name not in spans]
    columns = [(name, particles.dtype[name]) for name in particles.dtype.names or ()]
    columns += [(name, extension.dtype[name]) for name in extra]
    has_children = len(extra) < len(extension.dtype.names or ())
    if has_children:
        counts = extension["num_children"].astype(np.int64)
        if counts.sum() != len(children):
            raise ValueError(f"{counts.sum()} children are counted and {len(children)} there")
        columns.append((CHILDREN_FIELD, CHILD, (max(1, int(counts.max(initial=0))),)))
    joined = np.zeros(len(particles), dtype=columns)
    for source in (particles, extension):
        for name in source.dtype.names or ():
            if name not in spans:
                joined[name] = source[name]
    if has_children:
        table = joined[CHILDREN_FIELD]
        table[:] = -1
        table[np.arange(table.shape[1]) < counts[:, None]] = children
    return joined
