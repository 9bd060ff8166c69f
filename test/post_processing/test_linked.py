import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN

from mlreco.errors import UserError
from mlreco.post_processing import LinkedClusterer
from mlreco.post_processing.clustering.linking import linked_components
from mlreco.post_processing.clustering.nearest import nearest_places
from mlreco.post_processing.clustering.pieces import Pieces
from mlreco.post_processing.factories import build_post_processors
from mlreco.post_processing.metrics import adjusted_rand_index
from mlreco.post_processing.settings.link_thresholds import SHIPPED, LinkThresholds, resolve_link_thresholds
from mlreco.semantics import MLRECO, PILARNET


def clumps(points, dimensions, seed, spread=0.3):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-3, 3, (8, dimensions))
    return centres[rng.integers(0, 8, points)] + rng.normal(0, spread, (points, dimensions))


def slow_labels(coordinates, embeddings, thresholds):
    """The rule word for word, on full distance matrices."""
    squared = (cdist(coordinates, coordinates) / thresholds.voxel_distance) ** 2
    squared += (cdist(embeddings, embeddings) / thresholds.embedding_distance) ** 2
    pieces = connected_components(squared <= 1)[1]
    means = np.array([embeddings[pieces == piece].mean(0) for piece in range(pieces.max() + 1)])
    sizes = np.bincount(pieces)
    large = [p for p in range(len(sizes)) if sizes[p] >= thresholds.min_voxels or sizes[p] == sizes.max()]
    joined = connected_components(cdist(means[large], means[large]) <= thresholds.join_distance)[1]
    instances = dict(zip(large, joined, strict=True))
    for piece in set(range(len(sizes))) - set(large):
        instances[piece] = joined[np.argmin(((means[large] - means[piece]) ** 2).sum(1))]
    return np.array([instances[piece] for piece in pieces])


def same_partition(one, other):
    return adjusted_rand_index(one, other) == 1


def in_order_of_rows(labels):
    return (np.diff(np.unique(labels, return_index=True)[1]) > 0).all()


@pytest.mark.parametrize("dimensions", [1, 2, 3, 6, 9])
@pytest.mark.parametrize("reach", [0.0, 0.05, 0.2, 1.0, 50.0])
def test_components_are_those_of_scikit_learn(dimensions, reach):
    for points in (1, 31, 32, 33, 700):
        where = clumps(points, dimensions, seed=points)
        found = linked_components(where, reach)
        # by a tree: the distance of a point from itself, by products of coordinates, is not 0 on every processor
        expected = DBSCAN(max(reach, 1e-300), min_samples=1, algorithm="kd_tree").fit_predict(where)
        np.testing.assert_array_equal(found, expected)


@given(st.integers(0, 10**6), st.integers(1, 200), st.sampled_from([1.0, 1.5, 2.0, 3.0]))
def test_components_of_voxels_on_a_grid(seed, points, reach):
    where = np.random.default_rng(seed).integers(0, 12, (points, 3))
    np.testing.assert_array_equal(linked_components(where, reach), DBSCAN(reach, min_samples=1).fit_predict(where))


@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(1, 200), st.sampled_from([1, 3, 5]), st.booleans())
def test_nearest_places_are_those_of_the_distance_matrix(seed, points, places, dimensions, on_grid):
    where = [clumps(count, dimensions, seed + count) for count in (points, places)]
    where = [np.round(rows * 2) if on_grid else rows for rows in where]
    expected = np.argmin(cdist(*where, "sqeuclidean"), axis=1)
    np.testing.assert_array_equal(nearest_places(*where), expected)


def test_equal_points_are_one_component():
    assert linked_components(np.zeros((100, 4)), 0.0).tolist() == [0] * 100


def test_no_points():
    assert linked_components(np.empty((0, 3)), 1.0).shape == (0,)
    assert LinkedClusterer().fit_predict(np.empty((0, 3)), np.empty((0, 3))).dtype == np.int32


@given(
    st.integers(0, 10**6),
    st.integers(1, 250),
    st.sampled_from([1.8, 4.0, 30.0]),
    st.sampled_from([0.1, 0.3, 10.0]),
    st.sampled_from([0.0, 0.2, 0.8]),
    st.sampled_from([1, 3, 10, 1000]),
)
def test_labels_follow_the_rule(seed, voxels, space, embedding, join, size):
    rng = np.random.default_rng(seed)
    thresholds = LinkThresholds(space, embedding, join, size)
    coordinates = np.round(clumps(voxels, 3, seed, 1.0) * 5).astype(int)
    embeddings = clumps(voxels, 3, seed + 1)
    labels = LinkedClusterer(*thresholds).fit_predict(coordinates, embeddings)
    assert same_partition(labels, slow_labels(coordinates, embeddings, thresholds))
    assert in_order_of_rows(labels)
    order = rng.permutation(voxels)
    assert same_partition(
        LinkedClusterer(*thresholds).fit_predict(coordinates[order], embeddings[order]), labels[order]
    )


def test_a_broken_track_is_one_and_crossing_tracks_are_two():
    steps = np.arange(60)
    first = np.stack([steps, steps, steps], axis=1)
    second = np.stack([steps, 59 - steps, steps], axis=1)
    coordinates = np.concatenate([first[(steps < 20) | (steps > 23)], second])
    truth = np.repeat([0, 1], [56, 60])
    along = np.concatenate([first[(steps < 20) | (steps > 23)], second])[:, :1] / 150
    embeddings = np.hstack([along, truth[:, None] * 0.5])
    labels = LinkedClusterer(12.0, 0.1, 0.0, 10).fit_predict(coordinates, embeddings)
    np.testing.assert_array_equal(labels, truth)


def test_pieces_of_a_shower_are_joined_in_the_embedding_and_a_small_one_goes_to_the_nearest():
    coordinates = np.concatenate([np.arange(10), 100 + np.arange(10), 200 + np.arange(10), [300]])[:, None] * [1, 0, 0]
    embeddings = np.repeat([0.0, 0.1, 1.0, 0.9], [10, 10, 10, 1])[:, None]
    pieces = Pieces.link(coordinates, embeddings, 1.5, 10.0)
    np.testing.assert_array_equal(pieces.sizes, [10, 10, 10, 1])
    np.testing.assert_array_equal(pieces.joined(0.2, 5), [0, 0, 1, 1])
    np.testing.assert_array_equal(pieces.joined(0.0, 5), [0, 1, 2, 2])


def make_event(voxels=400):
    rng = np.random.default_rng(3)
    return {
        "coordinates": rng.integers(0, 30, (voxels, 3)).astype(np.int32),
        "embeddings": rng.uniform(-1, 1, (voxels, 3)).astype(np.float32),
        "semantics": rng.integers(-1, 5, voxels).astype(np.int8),
    }


def test_post_processor_clusters_class_by_class():
    event = make_event()
    (processor,) = build_post_processors({"linked_clusterer": {"skip_classes": ["Delta"]}}, PILARNET)
    fragments = processor(event, PILARNET)["fragments"]
    count = 0
    for number, name in enumerate(PILARNET.classes):
        rows = event["semantics"] == number
        if name == "Delta":
            assert (fragments[rows] == -1).all()
            continue
        labels = LinkedClusterer(*SHIPPED[name]).fit_predict(event["coordinates"][rows], event["embeddings"][rows])
        np.testing.assert_array_equal(fragments[rows], labels + count)
        count += labels.max() + 1
    assert (fragments[event["semantics"] == -1] == -1).all()
    assert json.loads(json.dumps(processor.thresholds))["MIP"] == SHIPPED["MIP"]._asdict()


def test_classes_of_mlreco_have_thresholds():
    resolved = resolve_link_thresholds({"Track": {"min_voxels": 7}}, MLRECO)
    assert resolved["Track"] == SHIPPED["MIP"]._replace(min_voxels=7)
    assert resolved["LowE"] == SHIPPED["Shower"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"voxel_distance": 0}, "voxel_distance is 0; a finite number above 0 is needed"),
        ({"embedding_distance": float("inf")}, "embedding_distance is inf"),
        ({"join_distance": -0.1}, "join_distance is -0.1; a finite number 0 or more is needed"),
        ({"min_voxels": 0.5}, "min_voxels is 0.5; it is 1 or more"),
        ({"min_voxel": 3}, "no key 'min_voxel'; did you mean 'min_voxels'"),
        ({"min_voxels": "many"}, "min_voxels is 'many'; a number is needed"),
    ],
)
def test_bad_thresholds_are_told(values, sentence):
    with pytest.raises(UserError, match=r"linked_clusterer.*MIP") as caught:
        build_post_processors({"linked_clusterer": {"thresholds": {"MIP": values}}}, PILARNET)
    assert sentence in str(caught.value)


def test_bad_arrays_are_told():
    with pytest.raises(UserError, match="a row for each of 3 is needed"):
        LinkedClusterer().fit_predict(np.zeros((3, 3)), np.zeros((2, 3)))
    with pytest.raises(UserError, match=r"embeddings hold \[nan\] in row 1"):
        LinkedClusterer().fit_predict(np.zeros((2, 3)), [[0.0], [np.nan]])
