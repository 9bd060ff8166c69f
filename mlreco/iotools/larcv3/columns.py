"""Columns of the tables of a LArCV3 file: the types that are accepted for them, and the columns that are needed.

Files of 2019 have unsigned event numbers, other writers other widths. Integers, floats and texts of any width are
accepted. What no program writes is refused as damage, since it would give wrong numbers: columns that overlap, numbers
with an unusual layout of bits, a single column of another byte order.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.hdf5_tables import stored_table
from mlreco.iotools.larcv3.layout import EVENTS_TABLE, TYPES

_NEEDED = {
    EVENTS_TABLE: ("run", "subrun", "event"),
    "image_meta": ("image_sizes", "number_of_voxels", "origin"),
    "voxels": ("id", "value"),
    "particles": (),
}
"""Columns without which a table is useless. Columns of particles are checked where they are used."""

_WIDTHS = {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (4, 8)}
_STANDS_FOR = {"i": "iu", "u": "iu", "f": "f"}


def sound_table(table: Any, name: str, where: str) -> h5py.Dataset:
    """Return a table of rows whose columns are those of the format.

    Args:
        table: what stands in the file under its name.
        name: which table of the format it is.
        where: file and product, for the message.

    Raises:
        UserError: it is no table, it is not stored completely, a needed column is missing, a known column has another
            type, or the types have no counterpart in NumPy.
    """
    what = f"{where}: table '{name}'"
    table = stored_table(table, what)
    if table.ndim != 1:
        raise UserError(f"{what} is no table of rows; the file is damaged")
    if h5py.h5t.py_create(table.dtype).get_size() != table.dtype.itemsize:
        raise UserError(f"{what} has a type that cannot be; the file is damaged")
    wanted = TYPES.get(name)
    if wanted is None or wanted.names is None:
        return table
    lacking = [column for column in needed_columns(name) if column not in (table.dtype.names or ())]
    if lacking:
        raise UserError(f"{what} lacks the columns {', '.join(lacking)}")
    if table.dtype.names is not None:
        _check_columns(table.id.get_type(), wanted, what)
    return table


def needed_columns(name: str) -> tuple[str, ...]:
    """Return the columns without which a table of the format cannot be read."""
    return ("first", "N") if name.endswith("extents") else _NEEDED.get(name, ())


def _check_columns(found: h5py.h5t.TypeCompoundID, wanted: np.dtype, what: str) -> None:
    ends, orders = [0], set()
    members = sorted(range(found.get_nmembers()), key=found.get_member_offset)
    for number in members:
        column = found.get_member_name(number).decode("utf-8", "replace")
        kind, first = found.get_member_type(number), found.get_member_offset(number)
        if first < ends[-1]:
            raise UserError(f"{what}: column '{column}' overlaps another one; the file is damaged")
        ends.append(first + kind.get_size())
        if wanted.fields is not None and column in wanted.fields:
            orders |= _byte_orders(kind, wanted.fields[column][0], f"{what}: column '{column}'")
    if ends[-1] > found.get_size():
        raise UserError(f"{what}: columns reach beyond its rows; the file is damaged")
    if len(orders) > 1:
        raise UserError(f"{what} has columns of both byte orders; the file is damaged")


def _byte_orders(found: h5py.h5t.TypeID, wanted: np.dtype, what: str) -> set[str]:
    """Return the byte orders of a column (of single bytes none); refuse a type that cannot stand for the wanted one."""
    if wanted.names is not None and found.get_class() == h5py.h5t.COMPOUND:
        parts = [found.get_member_name(number).decode("utf-8", "replace") for number in range(found.get_nmembers())]
        if set(wanted.names) <= set(parts):
            kinds = {name: found.get_member_type(number) for number, name in enumerate(parts)}
            return set().union(*(_byte_orders(kinds[name], wanted[name], f"{what}.{name}") for name in wanted.names))
    elif wanted.subdtype is not None and found.get_class() == h5py.h5t.ARRAY:
        element, shape = wanted.subdtype
        if found.get_array_dims() == shape:
            return _byte_orders(found.get_super(), element, what)
    elif wanted.kind == "S" and found.get_class() == h5py.h5t.STRING and not found.is_variable_str():
        return set()
    elif wanted.kind in _STANDS_FOR:
        for kind in _STANDS_FOR[wanted.kind]:
            for order in "<>":
                if any(found.equal(h5py.h5t.py_create(np.dtype(f"{order}{kind}{n}"))) for n in _WIDTHS[kind]):
                    return {order} if found.get_size() > 1 else set()
    told = wanted.subdtype[0] if wanted.subdtype else wanted
    raise UserError(f"{what} is no {'text' if told.kind == 'S' else told}; damaged file")
