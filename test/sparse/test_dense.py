"""Linear layers for kernels of other rooms, against products in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.sparse import UNIT, add_products, dense, room_for_lists


def sums_of(layer, inputs, first, rows, column=0):
    sums = np.zeros((rows + 1, column + len(layer.bias)), np.float32)
    add_products(inputs, first, rows, layer, sums, column, np.empty(room_for_lists(rows), np.int64))
    return sums


@settings(max_examples=40)
@given(
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 140),
    rows=st.integers(0, 40),
    first=st.integers(0, 3),
    column=st.sampled_from([0, 5, 16]),
)
def test_products_are_those_of_matrices(inputs, outputs, rows, first, column):
    rng = np.random.default_rng(inputs * outputs + rows)
    weight = torch.from_numpy(rng.normal(size=(outputs, inputs)).astype(np.float32))
    bias = torch.from_numpy(rng.normal(size=outputs).astype(np.float32))
    values = rng.normal(size=(first + rows, inputs + 3)).astype(np.float32)[:, :inputs]
    layer = dense(weight, bias)
    assert len(layer.bias) == UNIT.lanes * -(-outputs // UNIT.lanes)
    np.testing.assert_array_equal(layer.bias[:outputs], bias.numpy())
    assert not layer.bias[outputs:].any()
    found = sums_of(layer, values, first, rows, column)
    wanted = values[first:].astype(np.float64) @ weight.numpy().astype(np.float64).T
    np.testing.assert_allclose(found[:rows, column : column + outputs], wanted, rtol=1e-5, atol=1e-5)
    assert not found[:rows, :column].any()
    assert not found[:rows, column + outputs :].any()


@pytest.mark.parametrize("rows", [1, 11, 12, 30])
def test_a_row_does_not_depend_on_the_others(rows):
    rng = np.random.default_rng(rows)
    layer = dense(torch.from_numpy(rng.normal(size=(32, 40)).astype(np.float32)))
    values = rng.normal(size=(rows, 40)).astype(np.float32)
    alone = [sums_of(layer, values, row, 1)[0] for row in range(rows)]
    np.testing.assert_array_equal(sums_of(layer, values, 0, rows)[:rows], alone)
