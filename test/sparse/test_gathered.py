"""Inference by tables of rows: the tables against dictionaries of sites, a convolution against loops."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_references import random_sites
from torch import nn

from mlreco.sparse.gathered import morton, torch_kernels
from mlreco.sparse.gathered.parts import ABSENT, Affine, Convolution
from mlreco.sparse.gathered.tables import levels_of
from mlreco.sparse.maps.keys import MAX_BATCH, MAX_COORDINATE

DEPTH = 3


def rows_of(sites):
    return {tuple(site): row for row, site in enumerate(sites.tolist())}


def at_offset(site, offset):
    return (site[0], *(a + b for a, b in zip(site[1:], offset, strict=True)))


def assert_tables(sites, levels):
    """Look every site of every table up in dictionaries."""
    for number, level in enumerate(levels):
        coarse = np.unique(np.column_stack([sites[:, 0], sites[:, 1:] >> number]), axis=0)
        assert sorted(map(tuple, level.indices.tolist())) == sorted(map(tuple, coarse.tolist()))
        rows = rows_of(level.indices)
        offsets = list(itertools.product((-1, 0, 1), repeat=3))
        for site, found in zip(level.indices.tolist(), level.neighbours.tolist(), strict=True):
            assert found == [rows.get(at_offset(site, offset), ABSENT) for offset in offsets]
        if level.halving is None:
            assert number == len(levels) - 1
            continue
        coarse_sites, children, parents = levels[number + 1].indices, *level.halving
        for site, found in zip(coarse_sites.tolist(), children.tolist(), strict=True):
            corner = (site[0], *(2 * n for n in site[1:]))
            expected = [rows.get(at_offset(corner, child), ABSENT) for child in itertools.product((0, 1), repeat=3)]
            assert found == expected
        coarse_rows = rows_of(coarse_sites)
        for site, found in zip(level.indices.tolist(), parents.tolist(), strict=True):
            child = (site[1] & 1) * 4 + (site[2] & 1) * 2 + (site[3] & 1)
            expected = [ABSENT] * 8
            expected[child] = coarse_rows[(site[0], *(n >> 1 for n in site[1:]))]
            assert found == expected


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 60),
    st.sampled_from([(8, 8, 8), (1, 2, 40), (4, 16, 8)]),
)
def test_tables_hold_the_rows_of_neighbours_children_and_parents(seed, events, voxels, shape):
    rng = np.random.default_rng(seed)
    sites = rng.permutation(random_sites(rng, events, voxels, shape))
    levels = levels_of(torch.from_numpy(sites), DEPTH)
    assert np.array_equal(levels[0].indices.numpy(), sites)
    assert_tables(sites, levels)


def test_sites_at_the_ends_of_what_has_a_code_are_no_neighbours():
    """A step over the border of an axis leads to no site of another axis or event."""
    ends = [0, 1, MAX_COORDINATE - 1, MAX_COORDINATE]
    sites = np.array([(b, *p) for b in (0, 1, MAX_BATCH) for p in itertools.product(ends, repeat=3)])
    assert_tables(sites, levels_of(torch.from_numpy(sites), 2))
    assert morton.fits((MAX_COORDINATE + 1,) * 3, MAX_BATCH + 1)
    assert not morton.fits((1, MAX_COORDINATE + 2, 1), 1)
    assert not morton.fits((1, 1, 1), MAX_BATCH + 2)


def test_a_site_that_occurs_twice_is_refused():
    sites = torch.tensor([[0, 5, 6, 7], [1, 5, 6, 7], [0, 1, 1, 1], [0, 5, 6, 7]])
    with pytest.raises(ValueError, match=r"site \(5, 6, 7\) of image 0 occurs more than once"):
        levels_of(sites, 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_convolution_by_table_is_a_sum_over_its_rows(seed, rows, cin, cout, small_memory):
    generator = torch.Generator().manual_seed(seed)
    source = torch.randn(7, cin, generator=generator, dtype=torch.float64)
    table = torch.randint(-1, 7, (rows, 5), generator=generator, dtype=torch.int32)
    weight = torch.randn(5, cin, cout, generator=generator, dtype=torch.float64)
    expected = torch.zeros(rows, cout, dtype=torch.float64)
    for row, k in itertools.product(range(rows), range(5)):
        if table[row, k] != ABSENT:
            expected[row] += source[table[row, k]] @ weight[k]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_kernels, "MAX_BYTES", 200 if small_memory else 2**28)
        torch.testing.assert_close(torch_kernels.product(source, table, weight), expected)


def test_residual_shortcut_and_activation_follow_in_this_order():
    source, residual = torch.randn(6, 3), torch.randn(4, 2)
    table = torch.randint(-1, 6, (4, 5), dtype=torch.int32)
    then = Affine(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.25]), 0.1)
    layer = Convolution(torch.randn(5, 3, 2), torch.randn(2, 2), then)
    part = torch_kernels.convolution(source, table, layer, torch.float32, residual)
    raw = torch_kernels.product(source, table, layer.weight) + residual @ layer.shortcut
    torch.testing.assert_close(part.raw, raw)
    torch.testing.assert_close(part.active, nn.functional.leaky_relu(raw * then.scale + then.shift, 0.1))
