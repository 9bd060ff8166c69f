import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlreco.errors import UserError
from mlreco.post_processing import metrics
from mlreco.post_processing.contingency import contingency, distinct, without_small_instances

METRICS = [
    metrics.purity,
    metrics.efficiency,
    metrics.adjusted_rand_index,
    metrics.adjusted_mutual_information,
    metrics.symmetric_best_dice,
]


@st.composite
def label_pairs(draw):
    voxels = draw(st.integers(1, 60))
    labels = hnp.arrays(np.int32, voxels, elements=st.integers(-1, draw(st.integers(0, 8))))
    return draw(labels), draw(labels)


def dense_table(true, predicted):
    return np.array([[np.sum((true == t) & (predicted == p)) for p in np.unique(predicted)] for t in np.unique(true)])


def slow_best_dice(first, second):
    sets = [[set(np.flatnonzero(labels == label)) for label in np.unique(labels)] for labels in (first, second)]
    return np.mean([max(2 * len(a & b) / (len(a) + len(b)) for b in sets[1]) for a in sets[0]])


@settings(max_examples=200, deadline=None)
@given(label_pairs())
def test_against_independent_computations(pair):
    true, predicted = pair
    table = dense_table(true, predicted)
    assert metrics.purity(true, predicted) == pytest.approx(np.mean(table.max(0) / table.sum(0)), abs=1e-12)
    assert metrics.efficiency(true, predicted) == pytest.approx(np.mean(table.max(1) / table.sum(1)), abs=1e-12)
    rand = sklearn.metrics.adjusted_rand_score(true, predicted)
    assert metrics.adjusted_rand_index(true, predicted) == pytest.approx(rand, abs=1e-12)
    best = min(slow_best_dice(true, predicted), slow_best_dice(predicted, true))
    assert metrics.symmetric_best_dice(true, predicted) == pytest.approx(best, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(label_pairs())
def test_mutual_information_against_sklearn(pair):
    expected = sklearn.metrics.adjusted_mutual_info_score(*pair)
    assert metrics.adjusted_mutual_information(*pair) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(label_pairs(), st.integers(0, 10**6))
def test_relabelling_and_row_order_change_nothing(pair, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pair[0]))
    names = [rng.choice(2**10, 20, replace=False) - 500 for _ in pair]
    changed = [name[labels + 1][order] for name, labels in zip(names, pair, strict=True)]
    for metric in METRICS:
        assert metric(*changed) == pytest.approx(metric(*pair), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(label_pairs())
def test_perfect_prediction_is_one(pair):
    for metric in METRICS:
        assert metric(pair[0], pair[0] * 7) == 1.0


def test_cluster_of_hundred_split_in_99_and_1_has_rand_index_zero():
    true, predicted = np.zeros(100, int), (np.arange(100) == 99).astype(int)
    assert metrics.adjusted_rand_index(true, predicted) == 0
    assert metrics.efficiency(true, predicted) == 0.99
    assert metrics.purity(true, predicted) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_no_voxel_has_no_value_and_one_voxel_is_perfect(metric):
    assert math.isnan(metric(np.empty(0, int), np.empty(0, int)))
    assert metric(np.array([3]), np.array([5])) == 1.0


def test_pair_counts_of_many_voxels_do_not_overflow():
    true = np.arange(400_000) // 200_000
    predicted = np.arange(400_000) // 100_000
    expected = sklearn.metrics.adjusted_rand_score(true, predicted)
    assert metrics.adjusted_rand_index(true, predicted) == pytest.approx(expected, abs=1e-12)
    expected = sklearn.metrics.adjusted_mutual_info_score(true, predicted)
    assert metrics.adjusted_mutual_information(true, predicted) == pytest.approx(expected, abs=1e-7)


def test_table_holds_only_pairs_that_occur():
    """Both sides all singletons: a dense table would have 10^10 places."""
    labels = np.arange(100_000)
    table = contingency(labels, labels[::-1])
    assert len(table.counts) == 100_000
    assert metrics.adjusted_rand_index(labels, labels[::-1]) == 1.0


def test_lengths_must_agree():
    with pytest.raises(UserError, match=r"\(3,\) and \(4,\)"):
        contingency(np.zeros(3, int), np.zeros(4, int))


def test_small_true_instances_are_left_out_on_both_sides():
    true = np.array([0] * 10 + [1] * 9 + [2])
    predicted = np.arange(20)
    kept_true, kept_predicted = without_small_instances(true, predicted, 10)
    assert kept_true.tolist() == [0] * 10
    assert kept_predicted.tolist() == list(range(10))
    assert len(without_small_instances(true, predicted, 0)[0]) == 20


@given(
    hnp.arrays(
        st.sampled_from([np.int8, np.int32, np.int64, np.uint64]), st.integers(0, 30), elements=st.integers(0, 40)
    ),
    st.sampled_from([1, 3, 1 << 55]),
    st.integers(-1, 1),
)
def test_distinct_values_are_those_of_numpy(values, spread, shift):
    if values.dtype == np.int64:
        values = (values + shift) * spread
    for found, expected in zip(
        distinct(values), np.unique(values, return_inverse=True, return_counts=True), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert distinct(values)[0].dtype == values.dtype
