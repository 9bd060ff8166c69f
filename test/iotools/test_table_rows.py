"""Rows of tables against h5py's own indexing, damage included."""

import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.iotools.larcv3.layout import VOXEL
from mlreco.iotools.larcv3.table_rows import InflatedRows, table_rows

SETTINGS = {
    "plain": {},
    "gzip": {"compression": "gzip", "compression_opts": 1},
    "shuffle": {"compression": "gzip", "shuffle": True},
    "checksum": {"compression": "gzip", "fletcher32": True},
    "lzf": {"compression": "lzf"},
}
INFLATED = ("gzip", "shuffle")


def rows_of(kind, count, rng):
    if kind == "voxels":
        rows = np.zeros(count, VOXEL)
        rows["id"], rows["value"] = rng.integers(0, 2**40, count), rng.normal(size=count)
        return rows
    return rng.integers(-(2**31), 2**31, count).astype(kind)


def table_of(rows, chunk, filters):
    file = h5py.File.in_memory()
    return file.create_dataset("rows", data=rows, chunks=(chunk,), maxshape=(None,), **SETTINGS[filters])


@settings(deadline=None)
@given(st.data(), st.sampled_from(sorted(SETTINGS)), st.sampled_from(["voxels", "<i4", ">i8"]), st.integers(1, 50))
def test_equals_h5py(data, filters, kind, chunk):
    count = data.draw(st.integers(1, 300))
    rows = rows_of(kind, count, np.random.default_rng(count))
    table = table_of(rows, chunk, filters)
    ours = table_rows(table)
    assert len(ours) == count
    assert isinstance(ours, InflatedRows) == (filters in INFLATED)
    for _ in range(4):
        begin = data.draw(st.integers(0, count))
        end = data.draw(st.integers(begin, count))
        np.testing.assert_array_equal(ours[begin:end], table[begin:end])
        assert ours[begin:end].dtype == table.dtype


@pytest.mark.parametrize("largest", [8 * VOXEL.itemsize - 1, 8 * VOXEL.itemsize])
def test_chunks_of_every_size_give_the_same_rows(monkeypatch, largest):
    monkeypatch.setattr("mlreco.iotools.larcv3.table_rows._LARGEST_CHUNK", largest)
    rows = rows_of("voxels", 30, np.random.default_rng(0))
    ours = table_rows(table_of(rows, 8, "shuffle"))
    assert isinstance(ours, InflatedRows) == (largest >= 8 * VOXEL.itemsize)
    for begin, end in ((0, 30), (7, 9), (8, 16), (29, 30), (3, 3)):
        np.testing.assert_array_equal(ours[begin:end], rows[begin:end])


def test_a_chunk_that_was_stored_without_its_filters():
    rows = rows_of("<i4", 20, np.random.default_rng(0))
    table = table_of(rows, 8, "gzip")
    other = np.arange(8, dtype="<i4")
    table.id.write_direct_chunk((8,), other.tobytes(), filter_mask=1)
    np.testing.assert_array_equal(table_rows(table)[5:18], np.concatenate([rows[5:8], other, rows[16:18]]))


def test_a_chunk_that_was_never_written_holds_the_fill_value():
    table = h5py.File.in_memory().create_dataset("rows", (30,), "<i4", chunks=(10,), compression="gzip", fillvalue=7)
    table[:10] = 1
    np.testing.assert_array_equal(table_rows(table)[5:25], [1] * 5 + [7] * 15)


@pytest.mark.parametrize(
    "stored",
    [
        b"no stream",
        zlib.compress(bytes(8 * 4))[:-6],
        zlib.compress(bytes(8 * 4 - 1)),
        zlib.compress(bytes(8 * 4 + 1)),
        zlib.compress(bytes(1 << 24)),
        zlib.compress(bytes(8 * 4))[:-1] + b"\xff",
    ],
    ids=["noise", "cut off", "short", "long", "much longer", "other checksum"],
)
def test_a_damaged_chunk_is_refused(stored):
    table = table_of(np.zeros(20, "<i4"), 8, "gzip")
    table.id.write_direct_chunk((8,), stored)
    ours = table_rows(table)
    np.testing.assert_array_equal(ours[0:8], np.zeros(8))
    with pytest.raises(OSError, match="rows from 8"):
        ours[6:12]
    np.testing.assert_array_equal(ours[16:20], np.zeros(4))
