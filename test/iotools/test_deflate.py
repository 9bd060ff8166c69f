import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.iotools.output.deflate import deflated


def shuffled(numbers):
    """Bytes of the numbers as the filter shuffle lays them out, one number at a time."""
    pieces = [number.tobytes() for number in numbers.reshape(-1)]
    return b"".join(bytes(piece[place] for piece in pieces) for place in range(numbers.dtype.itemsize))


def numbers_of(kind, count, rng):
    return {
        "noise": rng.integers(0, 256, 4 * count).astype(np.uint8).view(np.float32),
        "normal": rng.normal(size=count).astype(np.float32),
        "classes": rng.integers(0, 5, count).astype(np.int8),
        "one value": np.full(count, 7, np.int32),
        "rows": np.arange(count, dtype=np.int64),
        "pairs": rng.normal(size=(count, 2)),
    }[kind]


@settings(deadline=None)
@given(
    st.sampled_from(["noise", "normal", "classes", "one value", "rows", "pairs"]),
    st.integers(1, 3000),
    st.integers(0, 10**6),
)
def test_zlib_reads_it(kind, count, seed):
    numbers = numbers_of(kind, count, np.random.default_rng(seed))
    assert zlib.decompress(deflated(numbers)) == shuffled(numbers)


@pytest.mark.parametrize("count", [65535, 65536, 70000, 140000])
def test_noise_hardly_grows(count):
    numbers = numbers_of("noise", count, np.random.default_rng(count))
    stream = deflated(numbers)
    assert zlib.decompress(stream) == shuffled(numbers)
    assert numbers.nbytes < len(stream) < 1.001 * numbers.nbytes


@pytest.mark.parametrize(("kind", "most"), [("normal", 0.95), ("classes", 0.5), ("one value", 0.01), ("rows", 0.3)])
def test_what_repeats_is_compressed(kind, most):
    numbers = numbers_of(kind, 4096, np.random.default_rng(0))
    assert len(deflated(numbers)) <= most * numbers.nbytes
