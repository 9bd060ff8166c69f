"""Growing tables of the output file: chunks that are compressed before the library sees them."""

import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.iotools.output.layout import create_table, extend_table


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 700), max_size=8),
    row_shape=st.sampled_from([(), (1,), (3,), (2, 5), (70_000,)]),
    dtype=st.sampled_from(["int8", "bool", "int32", "float32", "int64", "float64"]),
    seed=st.integers(0, 1000),
)
def test_rows_come_back_however_they_are_cut(counts, row_shape, dtype, seed):
    rng = np.random.default_rng(seed)
    wide = int(np.prod(row_shape)) > 1000
    parts = [
        rng.integers(0, 2 if dtype == "bool" else 100, (n % 3 if wide else n, *row_shape)).astype(dtype) for n in counts
    ]
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        table = create_table(file, "rows", row_shape, np.dtype(dtype))
        table_of_short_chunks = file.create_dataset(
            "short",
            (0, *row_shape),
            dtype,
            maxshape=(None, *row_shape),
            chunks=(7, *(max(1, n) for n in row_shape)),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        for part in parts:
            for one in (table, table_of_short_chunks):
                extend_table(one, part)
        file.flush()
        expected = np.concatenate([np.empty((0, *row_shape), dtype), *parts])
        for one in (table, table_of_short_chunks):
            assert one.dtype == expected.dtype
            np.testing.assert_array_equal(one[:], expected)


@pytest.mark.parametrize(("dtype", "row_shape"), [("float32", (3,)), ("int8", ()), ("int64", (2,))])
def test_chunks_hold_what_those_of_the_library_hold_in_hardly_more_bytes(dtype, row_shape):
    rows = np.random.default_rng(0).normal(0, 40, (3 * 4096 + 5, *row_shape)).astype(dtype)
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        ours = create_table(file, "ours", row_shape, np.dtype(dtype))
        theirs = create_table(file, "theirs", row_shape, np.dtype(dtype))
        extend_table(ours, rows)
        theirs.resize(len(rows), axis=0)
        theirs[:] = rows
        file.flush()
        for number in range(3):
            place = (4096 * number, *(0 for _ in row_shape))
            (filters, our_chunk), (their_filters, their_chunk) = (t.id.read_direct_chunk(place) for t in (ours, theirs))
            assert filters == their_filters == 0
            assert zlib.decompress(our_chunk) == zlib.decompress(their_chunk)
            assert len(our_chunk) < 1.2 * len(their_chunk)
