import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.errors import UserError
from mlreco.post_processing import GreedyClusterer
from mlreco.post_processing.clustering.embedded_voxels import EmbeddedVoxels


def reference(embeddings, margins, seediness, seed_threshold, probability_threshold):
    """The rule of the clusterer, word by word, with a full scan for every seed."""
    embeddings, seediness = embeddings.astype(np.float64), seediness.astype(np.float64)
    precisions = 0.5 / np.maximum(margins.astype(np.float64), np.finfo(np.float32).tiny) ** 2
    highest = -math.log(probability_threshold) if probability_threshold else math.inf
    left = np.ones(len(embeddings), bool)
    labels, lowest = np.full(len(embeddings), -1), np.full(len(embeddings), np.inf)
    seeds = 0
    while left.any():
        seed = int(np.argmax(np.where(left, seediness, -np.inf)))
        if seeds and seediness[seed] < seed_threshold:
            break
        squared = np.zeros(len(embeddings))
        for axis in range(embeddings.shape[1]):
            squared += (embeddings[:, axis] - embeddings[seed, axis]) ** 2
        score = squared * precisions[seed]
        left &= ~(score < highest)
        left[seed] = False
        closer = score < lowest
        labels[closer], lowest[closer] = seeds, score[closer]
        seeds += 1
    return labels


def clustered(voxels, instances, dimensions, width, seed):
    rng = np.random.default_rng(seed)
    instance = rng.integers(0, instances, voxels)
    offset = rng.normal(0, width, (voxels, dimensions))
    embeddings = (rng.uniform(-1.5, 1.5, (instances, dimensions))[instance] + offset).astype(np.float32)
    margins = (0.1 * rng.uniform(0.5, 2, voxels)).astype(np.float32)
    seediness = np.exp(-(offset**2).sum(1) / 0.02).astype(np.float32)
    return embeddings, margins, seediness


@settings(max_examples=150, deadline=None)
@given(
    voxels=st.integers(1, 400),
    instances=st.integers(1, 30),
    dimensions=st.integers(1, 6),
    width=st.sampled_from([0.0, 1e-3, 0.05, 0.5]),
    seed=st.integers(0, 10**6),
    seed_threshold=st.sampled_from([0.0, 0.3, 0.65, 1.0]),
    probability_threshold=st.sampled_from([0.0, 0.036, 0.3, 0.9, 1 - 2**-53]),
)
def test_labels_equal_reference_on_clusters(
    voxels, instances, dimensions, width, seed, seed_threshold, probability_threshold
):
    arrays = clustered(voxels, instances, dimensions, width, seed)
    labels = GreedyClusterer(seed_threshold, probability_threshold).fit_predict(*arrays)
    np.testing.assert_array_equal(labels, reference(*arrays, seed_threshold, probability_threshold))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), voxels=st.integers(1, 150), dimensions=st.integers(0, 3))
def test_labels_equal_reference_on_ties_and_extremes(data, voxels, dimensions):
    """Few distinct values: coincident embeddings, equal seediness, zero margins, tiny and huge distances."""
    pick = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    embeddings = pick.choice([0.0, 1.0, 1 + 1e-7, -2.0, 1e-40, 1e30], (voxels, dimensions))
    margins = pick.choice([0.0, 1e-44, 0.1, 2.0, 1e20], voxels)
    seediness = pick.choice([0.0, 0.5, 1.0], voxels)
    thresholds = data.draw(st.sampled_from([0.0, 0.5])), data.draw(st.sampled_from([0.0, 0.3, 0.99]))
    labels = GreedyClusterer(*thresholds).fit_predict(embeddings, margins, seediness)
    np.testing.assert_array_equal(labels, reference(embeddings, margins, seediness, *thresholds))


@pytest.mark.parametrize("dimensions", [1, 3, 12, 40])
def test_labels_equal_reference_on_many_voxels(dimensions):
    arrays = clustered(20_000, 120, dimensions, 0.05, dimensions)
    np.testing.assert_array_equal(GreedyClusterer(0.3, 0.1).fit_predict(*arrays), reference(*arrays, 0.3, 0.1))


def test_higher_seed_threshold_only_cuts_the_list_of_seeds():
    """What a grid search over thresholds shares: one tree for all, one list of seeds for each probability threshold."""
    voxels = EmbeddedVoxels.build(*clustered(2_000, 30, 3, 0.1, 3))
    every = voxels.seeds(0, 0.3)
    for seed_threshold in (0.0, 0.3, 0.6, 0.95, 1.0):
        kept = voxels.seediness[every] >= seed_threshold
        kept[0] = True
        np.testing.assert_array_equal(voxels.seeds(seed_threshold, 0.3), every[kept])


def test_partition_does_not_depend_on_row_order():
    arrays = clustered(5_000, 40, 3, 0.1, 7)
    order = np.random.default_rng(0).permutation(5_000)
    labels = GreedyClusterer(0.2, 0.2).fit_predict(*arrays)
    np.testing.assert_array_equal(GreedyClusterer(0.2, 0.2).fit_predict(*(a[order] for a in arrays)), labels[order])


def test_far_voxel_goes_to_the_nearer_instance():
    """Beyond 14 sigma both probabilities are 0 in float32 and an argmax over them would choose the first instance."""
    embeddings = np.array([[0.0], [1.0], [0.9]])
    labels = GreedyClusterer(0.5, 0.5).fit_predict(embeddings, np.full(3, 1e-3), np.array([0.9, 0.8, 0.1]))
    assert labels.tolist() == [0, 1, 1]


def test_ends_when_nothing_seeds():
    """Zero seediness everywhere, once an endless loop: every voxel becomes a seed where kernels do not overlap."""
    embeddings = np.arange(10.0)[:, None]
    labels = GreedyClusterer(0.0, 0.5).fit_predict(embeddings, np.full(10, 0.1), np.zeros(10))
    assert labels.tolist() == list(range(10))
    assert GreedyClusterer(0.0, 0.5).fit_predict(np.zeros((100, 3)), np.zeros(100), np.zeros(100)).tolist() == [0] * 100


def test_class_without_a_seed_is_one_instance_or_noise():
    embeddings, margins, seediness = np.arange(10.0)[:, None], np.full(10, 0.1), np.linspace(0, 0.4, 10)
    assert set(GreedyClusterer(0.5, 0.5).fit_predict(embeddings, margins, seediness)) == {0}
    assert set(GreedyClusterer(0.5, 0.5, unseeded="noise").fit_predict(embeddings, margins, seediness)) == {-1}


def test_small_instances_become_noise():
    embeddings = np.array([[0.0], [1.0], [1.0], [2.0], [2.0]])
    labels = GreedyClusterer(0, 0.5, min_voxels=2).fit_predict(embeddings, np.full(5, 0.1), np.linspace(1, 0, 5))
    assert labels.tolist() == [-1, 0, 0, 1, 1]


def test_no_voxels():
    labels = GreedyClusterer().fit_predict(np.empty((0, 3)), np.empty(0), np.empty(0))
    assert labels.shape == (0,)
    assert labels.dtype == np.int32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed_threshold": 1.5}, "seed_threshold is 1.5"),
        ({"seed_threshold": math.nan}, "seed_threshold is nan"),
        ({"probability_threshold": 1.0}, r"it lies in \[0, 1\)"),
        ({"min_voxels": -1}, "min_voxels"),
        ({"unseeded": "nois"}, "did you mean 'noise'"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(UserError, match=message):
        GreedyClusterer(**arguments)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("embeddings", math.nan, "embeddings hold .* in row 2; a finite number is"),
        ("embeddings", 1e300, "embeddings hold .* in row 2; a finite number is"),
        ("margins", math.inf, "margins hold inf in row 2; a finite number"),
        ("margins", -0.1, "margins hold -0.1 in row 2"),
        ("seediness", math.nan, "seediness hold nan in row 2"),
    ],
)
def test_bad_values(name, value, message):
    arrays = {"embeddings": np.zeros((4, 3)), "margins": np.ones(4), "seediness": np.ones(4)}
    arrays[name][2] = value
    with pytest.raises(UserError, match=message):
        GreedyClusterer().fit_predict(**arrays)


def test_bad_shapes():
    with pytest.raises(UserError, match=r"\(N, D\)"):
        GreedyClusterer().fit_predict(np.zeros(4), np.ones(4), np.ones(4))
    with pytest.raises(UserError, match=r"margins have shape \(3,\)"):
        GreedyClusterer().fit_predict(np.zeros((4, 3)), np.ones(3), np.ones(4))


def slow_refined(embeddings, margins, labels):
    """Labels of highest p under the means of the members, from the full table of scores."""
    numbers = np.unique(labels)
    embeddings, margins = np.asarray(embeddings, np.float64), np.asarray(margins, np.float64)
    scores = [
        ((embeddings - embeddings[labels == number].mean(0)) ** 2).sum(1) / margins[labels == number].mean() ** 2
        for number in numbers
    ]
    return np.argmin(scores, axis=0)


@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 5))
def test_refined_seeds_are_means_of_members(seed, voxels, dimensions):
    rng = np.random.default_rng(seed)
    arrays = rng.uniform(-1, 1, (voxels, dimensions)), rng.uniform(0.1, 0.5, voxels), rng.random(voxels)
    plain = GreedyClusterer(0.3, 0.2).fit_predict(*arrays)
    refined = GreedyClusterer(0.3, 0.2, refine_seeds=True).fit_predict(*arrays)
    expected = slow_refined(*arrays[:2], plain)
    np.testing.assert_array_equal(refined, np.unique(expected, return_inverse=True)[1])


def test_refinement_takes_back_what_a_seed_at_the_edge_lost():
    embeddings = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.52, 0.9, 1.0, 1.1])[:, None]
    seediness = np.array([0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.8, 0.1])
    arrays = embeddings, np.full(10, 0.3), seediness
    assert GreedyClusterer(0.5, 0.1).fit_predict(*arrays).tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert GreedyClusterer(0.5, 0.1, refine_seeds=True).fit_predict(*arrays).tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]
