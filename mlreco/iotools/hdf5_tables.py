"""Tables of HDF5 files: what a table declares is compared with the stored data before anything is read."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import h5py

from mlreco.errors import UserError

_LARGEST_CHUNK = 1 << 28
"""Most bytes of a chunk; the library allocates a whole chunk, however little of it the file holds."""

_REFERENCE = 16
"""Bytes in the table for a text or row of variable length: its length, and the place of its content in a heap."""

_NAMES = {
    h5py.h5z.FILTER_SZIP: "szip",
    32001: "Blosc",
    32004: "LZ4",
    32008: "Bitshuffle",
    32015: "Zstd",
    32026: "Blosc2",
}
"""Names of filters that the HDF5 library may lack."""


def stored_table(table: Any, where: str) -> h5py.Dataset:
    """Return a table all of whose rows are in the file, and can be decoded.

    Args:
        table: what stands in the file under a table's name.
        where: file, product and name of the table, for the message.

    Raises:
        UserError: it is no table, it declares more rows than the file holds, or it is compressed with a filter that is
            not installed, which the message names.
    """
    if not isinstance(table, h5py.Dataset) or table.shape is None:
        raise UserError(f"{where} is no table; the file is damaged")
    _check_filters(table, where)
    rows, size = math.prod(table.shape), table.dtype.itemsize
    layout = table.id.get_create_plist().get_layout()
    if layout == h5py.h5d.CHUNKED:
        _check_chunks(table, where)
    elif layout == h5py.h5d.CONTIGUOUS and table.id.get_storage_size() != rows * _stored_size(table):
        raise UserError(f"{where} declares {rows} values of {size} bytes and holds none; the file is incomplete")
    return table


def _check_chunks(table: h5py.Dataset, where: str) -> None:
    size = math.prod(table.chunks) * table.dtype.itemsize
    if size > _LARGEST_CHUNK:
        raise UserError(f"{where} has chunks of {size} bytes, more than {_LARGEST_CHUNK}")
    wanted = math.prod(-(-length // chunk) for length, chunk in zip(table.shape, table.chunks, strict=True))
    found = table.id.get_num_chunks()
    if found < wanted:
        raise UserError(
            f"{where} declares {len(table)} rows and holds {found} of their {wanted} chunks; incomplete file"
        )
    if found and not table.id.get_create_plist().get_nfilters():
        stored = table.id.get_chunk_info(0).size
        if stored != math.prod(table.chunks) * _stored_size(table):
            raise UserError(f"{where} is not stored as it says; the file is damaged")


def _check_filters(table: h5py.Dataset, where: str) -> None:
    settings = table.id.get_create_plist()
    for number in range(settings.get_nfilters()):
        code, _, _, name = settings.get_filter(number)
        if h5py.h5z.filter_avail(code) or not table.id.get_num_chunks():
            continue
        if table.id.get_chunk_info(0).filter_mask >> number & 1:
            continue  # an optional filter, which the writer did not have either
        with contextlib.suppress(ImportError):
            import hdf5plugin  # noqa: F401 - importing it makes its filters known to the library
        if not h5py.h5z.filter_avail(code):
            told = _NAMES.get(code) or name.decode("utf-8", "replace") or "of no name"
            raise UserError(
                f"{where} is compressed with the HDF5 filter {told} ({code}), which is not installed; "
                "pip install 'mlreco[filters]', or write the file with gzip (h5repack -f GZIP=1)"
            )


def _stored_size(table: h5py.Dataset) -> int:
    """Return the bytes of a value in the file, which for texts and rows of variable length are not those in memory."""
    return _size_in_file(table.id.get_type())


def _size_in_file(kind: h5py.h5t.TypeID) -> int:
    found = kind.get_class()
    if found == h5py.h5t.VLEN or (found == h5py.h5t.STRING and kind.is_variable_str()):
        return _REFERENCE
    if found == h5py.h5t.ARRAY:
        return math.prod(kind.get_array_dims()) * _size_in_file(kind.get_super())
    size = kind.get_size()
    for number in range(kind.get_nmembers() if found == h5py.h5t.COMPOUND else 0):
        member = kind.get_member_type(number)
        size += _size_in_file(member) - member.get_size()
    return size
