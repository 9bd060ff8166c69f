"""Voxels of the smallest fragments join those that they touch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.errors import UserError
from mlreco.post_processing.clustering.numbering import in_order_of_rows
from mlreco.post_processing.fragment_graph.absorbing import absorb_small
from mlreco.post_processing.fragment_graph.fragmenting import ABSORBED_WITHIN, FragmentThresholds, make_fragments
from mlreco.post_processing.fragment_graph.linked_voxels import linked_voxels
from mlreco.semantics import PILARNET


def slowly(coordinates, embeddings, labels, smallest, farthest, events):
    """Return what ``absorb_small`` does, voxel by voxel."""
    sizes = np.bincount(labels)
    found = labels.copy()
    for row in np.flatnonzero(sizes[labels] < smallest):
        touching = (np.abs(coordinates - coordinates[row]).max(axis=1) == 1) & (events == events[row])
        near = np.square(embeddings - embeddings[row]).sum(axis=1) <= farthest**2
        others = np.flatnonzero(touching & near & (sizes[labels] >= smallest))
        if len(others):
            keys = (*coordinates[others].T[::-1], np.square(embeddings[others] - embeddings[row]).sum(axis=1))
            found[row] = labels[others[np.lexsort(keys)[0]]]
    return found


def voxels(rng, events=2):
    """Return coordinates, embeddings (few values, so that some are equal) and events of a random cloud."""
    parts = [np.unique(rng.integers(-4, 4, (rng.integers(0, 90), 3)), axis=0) for _ in range(events)]
    coordinates = np.concatenate(parts)
    embeddings = rng.integers(0, 3, (len(coordinates), 2)).astype(float)
    return coordinates, embeddings, np.repeat(np.arange(events), list(map(len, parts)))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([1.5, np.inf]), st.sampled_from([0, 1 << 40]))
def test_each_voxel_joins_the_nearest_in_the_embedding_of_those_that_it_touches(seed, smallest, farthest, far):
    rng = np.random.default_rng(seed)
    coordinates, embeddings, events = voxels(rng)
    coordinates = np.vstack([coordinates, [[50 + far, 0, 50 + far]]])
    embeddings, events = np.vstack([embeddings, np.zeros(2)]), np.append(events, 1)
    labels = linked_voxels(coordinates, 1.5, [(embeddings, 1.2)], events=events)
    found = absorb_small(coordinates, embeddings, labels, smallest, farthest, events)
    np.testing.assert_array_equal(found, slowly(coordinates, embeddings, labels, smallest, farthest, events))
    rows = rng.permutation(len(labels))
    again = absorb_small(coordinates[rows], embeddings[rows], labels[rows], smallest, farthest, events[rows])
    np.testing.assert_array_equal(again, found[rows])
    if smallest == 1:
        np.testing.assert_array_equal(found, labels)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_fragments_of_a_class_absorb_voxels_of_this_class(seed):
    rng = np.random.default_rng(seed)
    coordinates, embeddings, events = voxels(rng)
    scores, semantics = np.zeros((len(coordinates), 5)), rng.integers(-1, 3, len(coordinates))
    apart = dict.fromkeys(PILARNET.classes, FragmentThresholds(1.8, 0.5, 1.0))
    before = make_fragments(coordinates, embeddings, scores, semantics, apart, PILARNET, events)
    joining = {name: values._replace(smallest=2) if name == "MIP" else values for name, values in apart.items()}
    after = make_fragments(coordinates, embeddings, scores, semantics, joining, PILARNET, events)
    mip = PILARNET.number("MIP")
    for event in range(2):
        rows = np.flatnonzero((events == event) & (semantics == mip))
        expected = slowly(coordinates[rows], embeddings[rows], before[rows], 2, 0.5 * ABSORBED_WITHIN, events[rows])
        np.testing.assert_array_equal(in_order_of_rows(after[rows]), in_order_of_rows(expected))
        others = (events == event) & (semantics != mip) & (semantics >= 0)
        np.testing.assert_array_equal(in_order_of_rows(after[others]), in_order_of_rows(before[others]))
        present = np.unique(after[(events == event) & (semantics >= 0)])
        np.testing.assert_array_equal(present, np.arange(len(present)))
    assert ((after < 0) == (semantics < 0)).all()


def test_nothing_to_absorb_and_nothing_that_absorbs():
    coordinates, embeddings = np.array([[0, 0, 0], [0, 0, 1]]), np.zeros((2, 1))
    for labels in ([0, 1], [0, 0]):
        found = absorb_small(coordinates, embeddings, np.array(labels), 2, np.inf, np.zeros(2, np.int64))
        assert found.tolist() == labels
    nothing = absorb_small(coordinates[:0], embeddings[:0], np.empty(0, np.int64), 2, np.inf, np.empty(0, np.int64))
    assert nothing.shape == (0,)


def test_an_image_that_cannot_be_numbered_is_refused():
    count = 1000
    places = np.arange(count) * 3
    coordinates = np.stack([places, places, places], axis=1)
    events = np.full(count, 1 << 40)
    labels = np.append(np.arange(count - 1), count - 2)
    with pytest.raises(UserError, match="too far apart"):
        absorb_small(coordinates, np.zeros((count, 1)), labels, 2, np.inf, events)
