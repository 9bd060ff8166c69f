from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlreco.errors import UserError
from mlreco.post_processing import GreedyClusterer
from mlreco.post_processing.clustering.fragments import cluster_event, cluster_events
from mlreco.post_processing.factories import build_post_processors, construct
from mlreco.post_processing.settings.thresholds import PUBLISHED, resolve_thresholds
from mlreco.semantics import MLRECO, PILARNET, ClassScheme


class Doubler:
    """A post-processor of another package."""

    def __init__(self, factor=2):
        self.factor = factor

    def __call__(self, event, scheme):
        return {"doubled": event["energies"] * self.factor}


def make_event(voxels=600, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "coordinates": rng.integers(0, 40, (voxels, 3)).astype(np.int32),
        "energies": rng.random(voxels).astype(np.float32),
        "semantics": rng.integers(-1, 5, voxels).astype(np.int8),
        "embeddings": rng.uniform(-1, 1, (voxels, 3)).astype(np.float32),
        "margins": rng.uniform(0.1, 0.4, voxels).astype(np.float32),
        "seediness": rng.random(voxels).astype(np.float32),
        "event_id": np.array([[1, 2, 3]]),
    }


def cluster(event, **options):
    arrays = (event[name] for name in ("semantics", "embeddings", "margins", "seediness"))
    return cluster_event(*arrays, PUBLISHED, PILARNET, **options)


def test_event_is_clustered_class_by_class():
    event = make_event()
    fragments = cluster(event, skip_classes=["Delta"])
    count = 0
    for number, name in enumerate(PILARNET.classes):
        rows = event["semantics"] == number
        if name == "Delta":
            assert (fragments[rows] == -1).all()
            continue
        arrays = (event[key][rows] for key in ("embeddings", "margins", "seediness"))
        labels = GreedyClusterer(*PUBLISHED[name]).fit_predict(*arrays)
        np.testing.assert_array_equal(fragments[rows], labels + count)
        count += labels.max() + 1
    assert (fragments[event["semantics"] == -1] == -1).all()
    assert fragments.dtype == np.int32


def test_fragments_do_not_depend_on_row_order():
    event = make_event()
    order = np.random.default_rng(1).permutation(600)
    shuffled = {name: values[order] for name, values in event.items() if len(values) == 600}
    np.testing.assert_array_equal(cluster(shuffled), cluster(event)[order])


def test_threads_change_nothing():
    events = [make_event(voxels, seed) for seed, voxels in enumerate((600, 0, 1, 300))]
    alone = [cluster(event) for event in events]
    for threads in (1, 4, None):
        for one, other in zip(cluster_events(events, PUBLISHED, PILARNET, threads=threads), alone, strict=True):
            np.testing.assert_array_equal(one, other)
    with ThreadPoolExecutor(3) as executor:
        np.testing.assert_array_equal(cluster(events[0], executor=executor), alone[0])


def test_small_fragments_are_dropped_before_numbering():
    fragments = cluster(make_event(), min_voxels=20)
    sizes = np.bincount(fragments[fragments >= 0])
    assert sizes.min() >= 20


def test_class_number_beyond_the_scheme():
    event = make_event()
    event["semantics"][5] = 7
    with pytest.raises(UserError, match="semantics hold 7 in row 5"):
        cluster(event)


def test_class_without_thresholds():
    event = make_event()
    arrays = [event[name] for name in ("semantics", "embeddings", "margins", "seediness")]
    with pytest.raises(UserError, match="no thresholds for class 'MIP'"):
        cluster_event(*arrays, {"HIP": (0.5, 0.1)}, PILARNET)


def test_greedy_clusterer_by_name():
    (processor,) = build_post_processors({"greedy_clusterer": None}, PILARNET)
    event = make_event()
    np.testing.assert_array_equal(processor(event, PILARNET)["fragments"], cluster(event))
    assert processor.thresholds["MIP"] == {"seed": 0.5, "probability": 0.087}


def test_given_thresholds_replace_the_published_ones():
    thresholds = resolve_thresholds({"Track": {"seed": 1}}, MLRECO)
    assert thresholds["Track"] == (1.0, 0.087)
    assert set(thresholds) == set(MLRECO.classes)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"greedy_cluster": {}}, "no post-processor 'greedy_cluster'; did you mean 'greedy_clusterer'"),
        ({"greedy_clusterer": {"treshold": {}}}, "no key 'treshold'; did you mean 'thresholds'"),
        ({"greedy_clusterer": {"thresholds": {"Showr": {}}}}, "no class 'Showr'; did you mean 'Shower'"),
        ({"greedy_clusterer": {"thresholds": {"MIP": {"sed": 1}}}}, "no key 'sed'; did you mean 'seed'"),
        ({"greedy_clusterer": {"thresholds": {"MIP": {"seed": "a"}}}}, "seed is 'a'; a number is needed"),
        ({"greedy_clusterer": {"thresholds": {"MIP": {"probability": 1}}}}, "probability is 1.0; it lies in"),
        ({"greedy_clusterer": {"thresholds": {"MIP": 0.5}}}, "thresholds of MIP are 0.5; write"),
        ({"greedy_clusterer": {"skip_classes": ["Michael"]}}, "did you mean 'Michel'"),
        ({"greedy_clusterer": {"unseeded": "drop"}}, "unseeded is 'drop'"),
        ({"dbscan": {"eps": -1}}, "eps of HIP is -1"),
        ({"dbscan": {"eps": {"MPI": 2}}}, "did you mean 'MIP'"),
    ],
)
def test_mistakes_in_the_configuration(config, message):
    with pytest.raises(UserError, match=message):
        build_post_processors(config, PILARNET)


def test_class_that_the_paper_does_not_know_needs_thresholds():
    with pytest.raises(UserError, match="class 'Ghost' lack 'seed'"):
        resolve_thresholds({}, ClassScheme("other", ("MIP", "Ghost")))


def test_missing_product_names_event_and_product():
    (processor,) = build_post_processors({"greedy_clusterer": {}}, PILARNET)
    event = make_event()
    del event["margins"]
    with pytest.raises(UserError, match="run 1 subrun 2 event 3: no product 'margins'"):
        processor(event, PILARNET)


def test_post_processor_of_another_package():
    location = f"{__name__}:Doubler"
    (processor,) = build_post_processors({location: {"factor": 3}}, PILARNET)
    event = make_event()
    np.testing.assert_array_equal(processor(event, PILARNET)["doubled"], event["energies"] * 3)
    assert construct(location) is Doubler


def test_dbscan_separates_clumps_and_classes():
    coordinates = np.array([[0, 0, 0], [1, 1, 1], [5, 5, 5], [1, 1, 2], [0, 0, 1], [9, 9, 9]], np.int32)
    event = {"coordinates": coordinates, "semantics": np.array([0, 0, 0, 1, 1, -1], np.int8)}
    (processor,) = build_post_processors({"dbscan": {"product": "touching", "eps": {"MIP": 1.2}}}, PILARNET)
    assert processor.provides == ("touching",)
    assert processor(event, PILARNET)["touching"].tolist() == [0, 0, 1, 2, 3, -1]


def test_dbscan_noise_is_no_fragment():
    event = {"coordinates": np.zeros((3, 3), np.int32), "semantics": np.zeros(3, np.int8)}
    (processor,) = build_post_processors({"dbscan": {"min_samples": 5}}, PILARNET)
    assert processor(event, PILARNET)["fragments_dbscan"].tolist() == [-1, -1, -1]


def test_empty_event():
    event = {name: values[:0] for name, values in make_event().items() if name != "event_id"}
    for processor in build_post_processors({"greedy_clusterer": {}, "dbscan": {}, "particle_builder": {}}, PILARNET):
        products = processor(event, PILARNET)
        assert tuple(products) == processor.provides
        assert all(len(values) == 0 for values in products.values())
        event.update(products)


def test_refined_seeds_are_an_option_of_the_greedy_clusterer():
    event = make_event()
    (processor,) = build_post_processors({"greedy_clusterer": {"refine_seeds": True}}, PILARNET)
    expected = cluster(event, refine_seeds=True)
    np.testing.assert_array_equal(processor(event, PILARNET)["fragments"], expected)
    assert not np.array_equal(expected, cluster(event))
    with pytest.raises(UserError, match="refine_seeds needs engine"):
        build_post_processors({"greedy_clusterer": {"refine_seeds": True, "engine": "torch"}}, PILARNET)
