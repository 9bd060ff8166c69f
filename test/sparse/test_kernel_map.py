import copy
import ctypes
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sparse_references as references
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.sparse.maps.kernel_map import (
    coordinates_from_keys,
    downsample_map,
    keys_from_coordinates,
    submanifold_map,
)
from mlreco.sparse.maps.keys import MAX_COORDINATE
from mlreco.sparse.maps.submanifold import BLOCK, MAP


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 4),
    st.integers(1, 60),
    st.sampled_from([2, 3, 6]),
    st.sampled_from([1, 3, 5]),
)
def test_submanifold_pairs_are_those_of_a_dictionary(seed, events, voxels, edge, size):
    sites = references.random_sites(np.random.default_rng(seed), events, voxels, edge)
    kernel_map = submanifold_map(keys_from_coordinates(sites), size)
    assert references.pairs_of(kernel_map) == references.submanifold_pairs(sites, size)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 3),
    st.integers(1, 40),
    st.sampled_from([3, 9]),
    st.sampled_from([(2, 2, 0), (3, 3, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0), (3, 2, 0)]),
    st.sampled_from([None, (2, 2, 2), (4, 3, 2)]),
)
def test_strided_pairs_are_those_of_a_dictionary(seed, events, voxels, edge, geometry, shape):
    sites = references.random_sites(np.random.default_rng(seed), events, voxels, edge)
    kernel_map, keys = downsample_map(keys_from_coordinates(sites), *geometry, shape)
    pairs, coarse = references.strided_pairs(sites, *geometry, shape)
    assert references.pairs_of(kernel_map) == pairs
    assert np.array_equal(coordinates_from_keys(keys), coarse)
    assert (kernel_map.n_in, kernel_map.n_out) == (len(sites), len(coarse))


def neighbours(sites):
    """Number of pairs of different sites that a 3x3x3 submanifold convolution joins."""
    kernel_map = submanifold_map(keys_from_coordinates(np.array(sites)))
    return len(kernel_map.in_rows) - len(sites)


def test_the_end_of_a_line_is_no_neighbour_of_the_next_line():
    top = MAX_COORDINATE
    assert neighbours([[0, 5, 5, top], [0, 5, 6, 0]]) == 0
    assert neighbours([[0, 5, top, 7], [0, 6, 0, 7]]) == 0
    assert neighbours([[0, 0, 0, 511], [0, 0, 1, 0]]) == 0


def test_the_end_of_an_event_is_no_neighbour_of_the_next_event():
    top = MAX_COORDINATE
    assert neighbours([[0, top, top, top], [1, 0, 0, 0]]) == 0
    assert neighbours([[3, 0, 0, 0], [4, 0, 0, 0]]) == 0
    assert neighbours([[0, top, 5, 5], [1, 0, 5, 5]]) == 0


def test_neighbours_at_the_far_corner_are_found():
    top = MAX_COORDINATE
    assert neighbours([[9, top - 1, top - 1, top - 1], [9, top, top, top]]) == 2


@pytest.mark.parametrize("events", [1, 40])
def test_events_of_a_batch_do_not_mix(events):
    rng = np.random.default_rng(events)
    sites = references.random_sites(rng, events, 30, 4)
    together = submanifold_map(keys_from_coordinates(sites))
    assert (sites[together.in_rows, 0] == sites[together.out_rows, 0]).all()
    alone = [len(submanifold_map(keys_from_coordinates(sites[sites[:, 0] == e])).in_rows) for e in range(events)]
    assert len(together.in_rows) == sum(alone)


def test_the_transposed_map_swaps_rows_and_stays_sorted():
    sites = references.random_sites(np.random.default_rng(1), 2, 80, 7)
    kernel_map, _ = downsample_map(keys_from_coordinates(sites))
    swapped = kernel_map.transposed()
    expected = [sorted(((b, a) for a, b in pairs), key=lambda p: p[1]) for pairs in references.pairs_of(kernel_map)]
    assert references.pairs_of(swapped) == expected
    assert references.pairs_of(swapped.transposed()) == references.pairs_of(kernel_map)


def test_renumbered_rows_stay_sorted_by_output_row():
    rng = np.random.default_rng(2)
    sites = references.random_sites(rng, 2, 80, 7)
    order = rng.permutation(len(sites))
    kernel_map = submanifold_map(keys_from_coordinates(sites))
    renumbered = kernel_map.with_rows(in_order=order, out_order=order)
    expected = [
        sorted(((order[a], order[b]) for a, b in pairs), key=lambda p: p[1])
        for pairs in references.pairs_of(kernel_map)
    ]
    assert references.pairs_of(renumbered) == expected


def test_bounds_cut_the_pairs_at_blocks_of_output_rows():
    sites = references.random_sites(np.random.default_rng(3), 1, 300, 8)
    kernel_map = submanifold_map(keys_from_coordinates(sites))
    for k, pairs in enumerate(references.pairs_of(kernel_map)):
        for j, bound in enumerate(kernel_map.bounds[k]):
            assert bound - kernel_map.starts[k] == sum(out_row < j * BLOCK for _, out_row in pairs)


def test_no_voxels_give_an_empty_map():
    keys = keys_from_coordinates(np.zeros((0, 4), np.int64))
    kernel_map = submanifold_map(keys)
    coarse_map, coarse = downsample_map(keys)
    assert len(kernel_map.in_rows) == len(coarse_map.in_rows) == len(coarse) == 0
    assert len(kernel_map.starts) == 28
    assert len(coarse_map.starts) == 9
    assert kernel_map.bounds.shape == (27, 1)


def record_at(place):
    """A copy of what kernels read of a map."""
    return np.frombuffer((ctypes.c_char * MAP.dtype.itemsize).from_address(place), MAP.dtype)[0].copy()


def test_threads_that_share_a_new_map_see_the_same_tables():
    for seed in range(20):
        sites = references.random_sites(np.random.default_rng(seed), 1, 300, 12)
        kernel_map = submanifold_map(keys_from_coordinates(sites))
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: (kernel_map.bounds, kernel_map.record.address), range(8)))  # noqa: B023
        assert all(place == found[0][1] for _, place in found)
        assert kernel_map.bounds.ctypes.data == record_at(found[0][1])["bounds"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda kept: pickle.loads(pickle.dumps(kept))])
def test_a_copied_map_has_tables_of_its_own(copied):
    sites = references.random_sites(np.random.default_rng(0), 1, 100, 8)
    kernel_map = submanifold_map(keys_from_coordinates(sites))
    record = record_at(kernel_map.record.address)
    other = copied(kernel_map)
    for table in ("in_rows", "out_rows", "bounds", "identity"):
        assert record_at(other.record.address)[table] != record[table]
    assert np.array_equal(other.bounds, kernel_map.bounds)
