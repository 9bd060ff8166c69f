"""Fields of particles that LArCV3 lacks: a table beside the particles, row for row, which the larcv library ignores.

Fields whose numbers may not fit LArCV3's columns, such as ids of 64 bits, are in both tables: exact in the extension,
and in the particles where they fit, else as an id that is not set.

``particles_extension`` has a column for each field. The children of a particle, of which there may be any number, are
rows ``first_child`` to ``first_child + num_children`` of the table ``particles_children``.
"""

from __future__ import annotations

import numpy as np

from mlreco.iotools.ids import unset_ids
from mlreco.iotools.larcv3.layout import PARTICLE, PARTICLE_IDS, unset_particles

EXTENSION, CHILDREN = "particles_extension", "particles_children"
CHILDREN_FIELD = "children_id"
CHILD = np.dtype("<i8")
_MOST_CELLS = 1 << 26
_SPAN = [("first_child", "<u8"), ("num_children", "<u4")]


def extension_type(fields: np.dtype) -> np.dtype | None:
    """Return the columns of the extension for particles with these fields; None where LArCV3 has them all."""
    names = [name for name in fields.names or () if name != CHILDREN_FIELD]
    columns = [(name, fields[name]) for name in names if not _is_held(name, fields[name])]
    span = _SPAN if CHILDREN_FIELD in (fields.names or ()) else []
    return np.dtype([*columns, *span]) if columns or span else None


def split(particles: np.ndarray, first_child: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split particles into the rows of LArCV3's table, of the extension and of the children.

    Args:
        particles: structured array; ``children_id`` is (P, K), filled up with -1. What it lacks of LArCV3's fields is
            not set in the rows.
        first_child: number of rows in the table of children so far.

    Raises:
        ValueError: a text does not fit LArCV3's column.
    """
    rows = unset_particles(len(particles))
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
            continue
        if name in (extension.dtype.names or ()):
            extension[name] = column
        if name in (PARTICLE.names or ()):
            rows[name] = _narrowed(column, name)
    return rows, extension, children


def _is_held(name: str, kind: np.dtype) -> bool:
    """Whether a column of LArCV3 holds every value of a field; of texts, `split` looks at the values."""
    if name not in (PARTICLE.names or ()):
        return False
    return kind.kind == "S" or bool(np.can_cast(kind, PARTICLE[name], "safe"))


def _narrowed(column: np.ndarray, name: str) -> np.ndarray:
    """Return a field in the type of LArCV3's column; integers that do not fit become its largest value."""
    kind = PARTICLE[name]
    if column.dtype.kind == "S":
        texts = column.astype(kind)
        if (texts != column).any():
            raise ValueError(f"field '{name}' holds a text that does not fit LArCV3's {kind}")
        return texts
    if kind.kind not in "iu" or _is_held(name, column.dtype):
        return column.astype(kind)
    limits = np.iinfo(kind)
    fits = (column >= limits.min) & (column <= limits.max)
    if name in PARTICLE_IDS:
        fits &= ~unset_ids(column)
    narrowed = np.full(len(column), limits.max, dtype=kind)
    narrowed[fits] = column[fits]
    return narrowed


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
    extra = {name: extension.dtype[name] for name in extension.dtype.names or () if name not in spans}
    columns = {name: particles.dtype[name] for name in particles.dtype.names or ()} | extra
    listed: list[tuple] = list(columns.items())
    table = None
    if len(extra) < len(extension.dtype.names or ()):
        table = children_table(extension["num_children"].astype(np.int64), children)
        listed.append((CHILDREN_FIELD, CHILD, (table.shape[1],)))
    joined = np.zeros(len(particles), dtype=listed)
    for name in columns:
        joined[name] = extension[name] if name in extra else particles[name]
    if table is not None:
        joined[CHILDREN_FIELD] = table
    return joined


def children_table(counts: np.ndarray, children: np.ndarray) -> np.ndarray:
    """Return the children of particles, a row each, filled up with -1: (P, K) int64, K at least 1.

    Args:
        counts: (P,) number of children of each particle.
        children: those of all, one after the other.

    Raises:
        ValueError: there are not as many as are counted, or the table would take gigabytes.
    """
    if counts.sum() != len(children):
        raise ValueError(f"{counts.sum()} children are counted and {len(children)} there")
    longest = max(1, int(counts.max(initial=0)))
    if longest * len(counts) > _MOST_CELLS:
        raise ValueError(f"one of {len(counts)} particles has {longest} children, too many for a table")
    table = np.full((len(counts), longest), -1, dtype=CHILD)
    table[np.arange(longest) < counts[:, None]] = children
    return table
