"""The clusterer in torch against the one event by event, and against the rule word by word."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_greedy import clustered, reference

from mlreco.errors import UserError
from mlreco.post_processing import cluster_event
from mlreco.post_processing.clustering.batched import assignment, cluster_batch, seeds
from mlreco.semantics import PILARNET

NAMES = ("semantics", "embeddings", "margins", "seediness")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return request.param


def batch_of(events, dimensions=3):
    """Return the event numbers and the joined arrays of events, each a tuple of NAMES."""
    empty = (np.empty(0, np.int64), np.empty((0, dimensions), np.float32), np.empty(0), np.empty(0))
    numbers = np.repeat(np.arange(len(events)), [len(event[0]) for event in events]).astype(np.int64)
    return numbers, [np.concatenate(arrays) for arrays in zip(*[*events, empty], strict=True)]


def clustered_batch(events, thresholds, device="cpu", **options):
    numbers, arrays = batch_of(events, events[0][1].shape[1] if events else 3)
    tensors = [torch.from_numpy(array).to(device) for array in (numbers, *arrays)]
    found = cluster_batch(tensors[0], len(events), *tensors[1:], thresholds, PILARNET, **options)
    assert found.dtype == torch.int32 and found.device.type == str(device)
    return found.cpu().numpy()


def same_thresholds(seed, probability):
    return dict.fromkeys(PILARNET.classes, (seed, probability))


def one_class(arrays, seed_threshold, probability_threshold):
    event = (np.full(len(arrays[0]), 2), *arrays)
    return clustered_batch([event], same_thresholds(seed_threshold, probability_threshold))


@st.composite
def random_events(draw):
    dimensions = draw(st.integers(0, 4))
    seed = draw(st.integers(0, 10**6))
    events = []
    for number in range(draw(st.integers(0, 5))):
        size = draw(st.sampled_from([0, 1, 2, 40, 150]))
        embeddings, margins, seediness = clustered(size, 6, dimensions, draw(st.sampled_from([0, 0.05, 0.5])), seed)
        if draw(st.booleans()):
            seediness = np.round(4 * seediness) / 4
        classes = np.random.default_rng(seed + number).integers(-1, 5, size)
        events.append((classes, embeddings, margins.astype(np.float64), seediness.astype(np.float64)))
    values = st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.036, 0.3, 0.9, 1 - 2**-53]))
    return events, {name: draw(values) for name in PILARNET.classes}


@settings(max_examples=100)
@given(
    batch=random_events(),
    skip=st.sampled_from([(), ("Delta",), ("HIP", "Michel")]),
    min_voxels=st.sampled_from([0, 1, 2, 10]),
    unseeded=st.sampled_from(["instance", "noise"]),
)
def test_equals_the_fragments_event_by_event(batch, skip, min_voxels, unseeded):
    events, thresholds = batch
    options = {"skip_classes": skip, "min_voxels": min_voxels, "unseeded": unseeded}
    expected = [cluster_event(*event, thresholds, PILARNET, **options) for event in events]
    found = clustered_batch(events, thresholds, **options)
    np.testing.assert_array_equal(found, np.concatenate([*expected, np.empty(0, np.int32)]))


@settings(max_examples=60)
@given(data=st.data(), voxels=st.integers(1, 150), dimensions=st.integers(0, 3))
def test_equals_the_rule_on_ties_and_extremes(data, voxels, dimensions):
    """Few distinct values: coincident embeddings, equal seediness, both zeros, tiny and huge distances."""
    pick = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    embeddings = pick.choice([0.0, 1.0, 1 + 1e-7, -2.0, 1e-40, 1e30], (voxels, dimensions))
    margins = pick.choice([0.0, 1e-44, 0.1, 2.0, 1e20], voxels)
    seediness = pick.choice([0.0, -0.0, 0.5, 1.0], voxels)
    thresholds = data.draw(st.sampled_from([0.0, 0.5])), data.draw(st.sampled_from([0.0, 0.3, 0.99]))
    found = one_class((embeddings, margins, seediness), *thresholds)
    np.testing.assert_array_equal(found, reference(embeddings, margins, seediness, *thresholds))


@pytest.mark.parametrize("dimensions", [1, 3, 12])
def test_equals_the_rule_on_many_voxels_in_many_blocks(dimensions, monkeypatch):
    monkeypatch.setattr(assignment, "PAIRS", 5_000)
    arrays = clustered(4_000, 120, dimensions, 0.05, dimensions)
    np.testing.assert_array_equal(one_class(arrays, 0.3, 0.1), reference(*arrays, 0.3, 0.1))


def test_a_voxel_at_the_threshold_is_treated_as_by_the_rule():
    """Scores are a rounding error below, at and above -ln p0, below which a voxel joins."""
    margin, probability = 0.4, 0.1
    reach = np.sqrt(-np.log(probability) * 2) * margin
    offsets = [0.0, *(reach + step * np.spacing(reach) for step in range(-3, 4)), -2.0, -2.0 - reach]
    arrays = np.array(offsets)[:, None], np.full(10, margin), np.linspace(1, 0.5, 10)
    expected = reference(*arrays, 0, probability)
    assert 2 < expected.max() < 9
    np.testing.assert_array_equal(one_class(arrays, 0, probability), expected)


def test_labels_and_numbers_on_each_device(device):
    events = [(np.arange(2_000) % 5, *clustered(2_000, 30, 3, 0.1, seed)) for seed in range(4)]
    events.insert(2, tuple(array[:0] for array in events[0]))
    thresholds = same_thresholds(0.3, 0.1)
    expected = np.concatenate([cluster_event(*event, thresholds, PILARNET) for event in events])
    np.testing.assert_array_equal(clustered_batch(events, thresholds, device), expected)


def test_events_may_be_mixed_row_by_row():
    events = [(np.arange(300) % 5, *clustered(300, 8, 3, 0.1, seed)) for seed in range(3)]
    thresholds = same_thresholds(0.3, 0.1)
    expected = clustered_batch(events, thresholds)
    numbers, arrays = batch_of(events)
    order = np.random.default_rng(0).permutation(len(numbers))
    tensors = [torch.from_numpy(array[order]) for array in (numbers, *arrays)]
    found = cluster_batch(tensors[0], 3, *tensors[1:], thresholds, PILARNET).numpy()
    np.testing.assert_array_equal(found, expected[order])


def test_the_host_looks_as_often_as_the_largest_segment_asks(monkeypatch):
    """Steps grow with the largest number of instances of a segment, not with the sum over segments."""
    steps = []
    take = seeds._take_seeds
    monkeypatch.setattr(seeds, "_take_seeds", lambda *arguments: steps.append(0) or take(*arguments))
    places = np.arange(40.0)[:, None]
    event = (np.zeros(40, np.int64), places, np.full(40, 0.1), np.linspace(1, 0, 40))
    assert clustered_batch([event] * 6, same_thresholds(0, 0.5)).max() == 39
    assert len(steps) == 4 + 8 + 16 + 32


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("semantics", 5, "semantics hold 5 in row 2; class scheme 'pilarnet' ends at 4"),
        ("semantics", -2, "semantics hold -2 in row 2"),
        ("embeddings", np.nan, "embeddings hold .* in row 2; a finite number is"),
        ("embeddings", 1e300, "embeddings hold .* in row 2; a finite number is"),
        ("margins", np.inf, "margins hold inf in row 2; a finite number"),
        ("margins", -0.1, "margins hold -0.1 in row 2"),
        ("seediness", np.nan, "seediness hold nan in row 2"),
    ],
)
def test_bad_values_are_told_as_for_one_event(name, value, message):
    good = (np.zeros(4, np.int64), np.zeros((4, 3)), np.ones(4), np.ones(4))
    bad = [array.copy() for array in good]
    bad[NAMES.index(name)][2] = value
    with pytest.raises(UserError, match=message):
        clustered_batch([good, tuple(bad)], same_thresholds(0.5, 0.3))


def test_a_class_without_thresholds_is_told_only_where_it_has_voxels():
    event = (np.array([0, 4]), np.zeros((2, 3)), np.ones(2), np.ones(2))
    thresholds = {"HIP": (0.5, 0.3)}
    with pytest.raises(UserError, match="no thresholds for class 'Michel', of which the event has 1 voxels"):
        clustered_batch([event], thresholds)
    assert clustered_batch([event], thresholds, skip_classes=["Michel"]).tolist() == [0, -1]
    assert clustered_batch([tuple(array[:1] for array in event)], thresholds).tolist() == [0]


def test_bad_options_are_refused():
    with pytest.raises(UserError, match="did you mean 'noise'"):
        clustered_batch([], same_thresholds(0.5, 0.3), unseeded="nois")
    with pytest.raises(UserError, match="seed_threshold is 2"):
        clustered_batch([], same_thresholds(2, 0.3))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_host_waits_only_where_it_reads_counts(monkeypatch):
    """Copies that wait are those of ``tolist``; all else must not, which torch then reports as an error."""
    events = [(np.arange(2_000) % 5, *clustered(2_000, 30, 3, 0.1, seed)) for seed in range(4)]
    numbers, arrays = batch_of(events)
    tensors = [torch.from_numpy(array).cuda() for array in (numbers, *arrays)]
    tolist = torch.Tensor.tolist

    def allowed(tensor):
        torch.cuda.set_sync_debug_mode("default")
        values = tolist(tensor)
        torch.cuda.set_sync_debug_mode("error")
        return values

    monkeypatch.setattr(torch.Tensor, "tolist", allowed)
    torch.cuda.set_sync_debug_mode("error")
    try:
        cluster_batch(tensors[0], 4, *tensors[1:], same_thresholds(0.3, 0.1), PILARNET)
    finally:
        torch.cuda.set_sync_debug_mode("default")
