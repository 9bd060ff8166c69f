import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlreco.visualization.encoding import decode, encode_floats, encode_integers, encode_quantised


@given(hnp.arrays(np.int64, st.integers(0, 20), elements=st.integers(-(2**31), 2**31 - 1)))
def test_integers_come_back(values):
    assert np.array_equal(decode(encode_integers(values)), values)


@pytest.mark.parametrize(("high", "dtype"), [(255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")])
def test_integers_take_the_smallest_type(high, dtype):
    assert encode_integers(np.array([0, high]))["dtype"] == dtype


def test_integers_that_do_not_fit_are_refused():
    with pytest.raises(OverflowError):
        encode_integers(np.array([-1, 2**32]))


def test_floats_come_back_with_nan_and_infinity():
    values = np.array([0.1, np.nan, np.inf, -3e30], np.float32)
    assert np.array_equal(decode(encode_floats(values)), values, equal_nan=True)


@given(hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(-1e6, 1e6, width=32)))
def test_quantised_numbers_come_back_within_half_a_step(values):
    column = encode_quantised(values)
    assert np.all(np.abs(decode(column) - values) <= 0.5001 * column["step"])


def test_quantised_numbers_that_are_not_finite_become_nan():
    assert np.isnan(decode(encode_quantised(np.array([1.0, np.nan, np.inf])))).tolist() == [False, True, True]
