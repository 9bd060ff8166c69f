"""Putting fragments together, against scipy and against slow versions."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mlreco.errors import UserError
from mlreco.post_processing.factories import build_post_processors, clusterer_of, thresholds_text
from mlreco.post_processing.fragment_graph.agglomeration import AVERAGE, SUM, agglomerate
from mlreco.post_processing.fragment_graph.contraction import contract
from mlreco.post_processing.fragment_graph.partition import (
    SHIPPED,
    GraphThresholds,
    confidences,
    group_instances,
    partition,
    resolve_graph_thresholds,
)
from mlreco.post_processing.tuning import graph_search, tune_graph
from mlreco.post_processing.tuning.graph_choice import chosen_together, refined
from mlreco.post_processing.tuning.graph_events import read_graph_events
from mlreco.post_processing.tuning.graph_grid import GRID
from mlreco.post_processing.tuning.outcome import TunedThresholds
from mlreco.semantics import PILARNET


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    return ((one[:, None] == one) == (np.asarray(other)[:, None] == other)).all()


def slow_agglomeration(edges: np.ndarray, scores: np.ndarray, count: int, kind: int, weights: np.ndarray) -> np.ndarray:
    clusters = [{node} for node in range(count)]
    pairs = map(frozenset, edges.tolist())
    table = dict(zip(pairs, zip(scores.tolist(), weights.tolist(), strict=True), strict=True))
    while True:
        best, pair = 0.0, None
        for one, other in itertools.combinations(clusters, 2):
            between = [table[key] for a in one for b in other if (key := frozenset((a, b))) in table]
            if between:
                total = sum(weight for _, weight in between)
                score = sum(score * weight for score, weight in between) / (total if kind == AVERAGE else 1)
                if score > best:
                    best, pair = score, (one, other)
        if pair is None:
            labels = np.empty(count, np.int64)
            for number, cluster in enumerate(clusters):
                labels[list(cluster)] = number
            return labels
        clusters = [c for c in clusters if c not in pair] + [pair[0] | pair[1]]


@pytest.mark.parametrize("seed", range(8))
def test_complete_graphs_give_the_average_linkage_of_scipy(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 40))
    edges = np.array(list(itertools.combinations(range(count), 2)))
    scores = rng.normal(size=len(edges)) + 0.3
    shift = scores.max() + 1
    tree = linkage(shift - scores, method="average")
    expected = fcluster(tree, shift, criterion="distance")
    assert same_partition(agglomerate(edges, scores, count), expected)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([AVERAGE, SUM]))
def test_sparse_graphs_give_what_a_slow_version_gives(seed, kind):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 14))
    every = np.array(list(itertools.combinations(range(count), 2))).reshape(-1, 2)
    edges = every[rng.random(len(every)) < rng.random()]
    flipped = rng.random(len(edges)) < 0.5
    edges[flipped] = edges[flipped][:, ::-1]
    scores = rng.normal(size=len(edges)) + 0.5
    ones, weights = np.ones(len(edges)), rng.random(len(edges)) + 0.1
    assert same_partition(agglomerate(edges, scores, count, kind), slow_agglomeration(edges, scores, count, kind, ones))
    weighted = agglomerate(edges, scores, count, kind, weights)
    assert same_partition(weighted, slow_agglomeration(edges, scores, count, kind, weights))


def test_the_order_of_edges_does_not_matter():
    rng = np.random.default_rng(0)
    edges = np.array(list(itertools.combinations(range(30), 2)))
    scores, order = rng.normal(size=len(edges)), rng.permutation(len(edges))
    for kind in (AVERAGE, SUM):
        assert same_partition(agglomerate(edges, scores, 30, kind), agglomerate(edges[order], scores[order], 30, kind))


def test_sure_scores_give_the_components():
    rng = np.random.default_rng(1)
    edges = np.unique(np.sort(rng.integers(0, 400, (300, 2)), axis=1), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    _, expected = connected_components(coo_matrix((np.ones(len(edges)), edges.T), shape=(400, 400)), directed=False)
    for kind in (AVERAGE, SUM):
        assert same_partition(agglomerate(edges, np.full(len(edges), 9.0), 400, kind), expected)
        assert same_partition(agglomerate(edges, np.full(len(edges), -9.0), 400, kind), np.arange(400))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_without_edges_every_fragment_stands_alone(count):
    edges, thresholds = np.zeros((0, 2), np.int32), resolve_graph_thresholds(None, PILARNET)
    classes = np.zeros(count, np.int64)
    labels = partition(edges, np.zeros(0), np.ones(count, np.int64), classes, thresholds, PILARNET)
    assert labels.tolist() == list(range(count))
    assert confidences(labels, edges, np.zeros(0), np.ones(count)).tolist() == [1.0] * count


def test_small_instances_go_to_the_larger_one_with_the_highest_mean():
    thresholds = {name: GraphThresholds(0, -1, 5) for name in PILARNET.classes}
    sizes, classes = np.array([50, 40, 30, 2, 2, 2, 2]), np.full(7, 2)
    edges = np.array([[0, 1], [0, 2], [0, 3], [1, 3], [2, 3], [2, 4], [5, 6], [2, 5]])
    scores = np.array([3.0, -3.0, -0.8, -0.3, -0.6, -1.5, 2.0, -0.5])
    labels = partition(edges, scores, sizes, classes, thresholds, PILARNET)
    assert labels.tolist() == [0, 0, 1, 0, 2, 1, 1]
    kept = {name: GraphThresholds(0, -1, 1) for name in PILARNET.classes}
    assert partition(edges, scores, sizes, classes, kept, PILARNET).tolist() == [0, 0, 1, 2, 3, 4, 4]


def weighted_mean(values: list[tuple[float, int]]) -> float:
    return sum(score * weight for score, weight in values) / sum(weight for _, weight in values)


def slow_attachment(instances, edges, scores, sizes, classes, thresholds):
    members = {number: np.flatnonzero(instances == number) for number in set(instances.tolist())}
    own = {n: thresholds[PILARNET.classes[classes[max(m, key=lambda f: (sizes[f], f))]]] for n, m in members.items()}
    small = {n for n, m in members.items() if sizes[m].sum() < own[n].small}
    target = dict.fromkeys(members)
    for number in members:
        target[number] = number
        found = {}
        for (a, b), score in zip(edges, scores, strict=True):
            for one, other in ((instances[a], instances[b]), (instances[b], instances[a])):
                if one == number and number in small and other not in small:
                    found.setdefault(other, []).append((score, min(sizes[a], sizes[b])))
        means = {other: weighted_mean(values) for other, values in found.items()}
        best = max(means, key=means.get, default=None)
        if best is not None and means[best] > own[number].attach:
            target[number] = best
    return np.array([target[number] for number in instances.tolist()])


@pytest.mark.parametrize("seed", range(6))
def test_partitions_are_those_of_a_slow_version(seed):
    rng = np.random.default_rng(seed)
    thresholds = {n: GraphThresholds(rng.normal(), rng.normal() - 1, rng.integers(1, 30)) for n in PILARNET.classes}
    count = 20
    every = np.array(list(itertools.combinations(range(count), 2)))
    edges = every[rng.random(len(every)) < 0.4]
    scores, sizes, classes = rng.normal(size=len(edges)) * 2, rng.integers(1, 25, count), rng.integers(0, 5, count)
    merge = np.array([thresholds[PILARNET.classes[number]].merge for number in classes])
    margins, weights = scores - (merge[edges[:, 0]] + merge[edges[:, 1]]) / 2, sizes[edges].min(axis=1)
    merged = slow_agglomeration(edges, margins, count, AVERAGE, weights)
    expected = slow_attachment(merged, edges, scores, sizes, classes, thresholds)
    assert same_partition(partition(edges, scores, sizes, classes, thresholds, PILARNET), expected)


def test_a_pair_counts_by_the_mean_of_the_thresholds_of_both_classes():
    thresholds = {name: GraphThresholds(float(number), 0, 1) for number, name in enumerate(PILARNET.classes)}
    edges, sizes, classes = np.array([[0, 1]]), np.array([10, 10]), np.array([1, 4])
    for score, expected in ((2.4, [0, 1]), (2.6, [0, 0])):
        assert partition(edges, np.array([score]), sizes, classes, thresholds, PILARNET).tolist() == expected


@pytest.mark.parametrize("seed", range(6))
def test_interactions_are_the_average_linkage_of_the_pairs_between_instances(seed):
    rng = np.random.default_rng(seed)
    every = np.array(list(itertools.combinations(range(15), 2)))
    edges = every[rng.random(len(every)) < 0.5]
    instances = np.unique(rng.integers(0, 7, 15), return_inverse=True)[1].reshape(-1)
    scores, sizes, threshold = rng.normal(size=len(edges)) * 3, rng.integers(1, 9, 15), 0.4
    weights = sizes[edges].min(axis=1)
    clusters = [{number} for number in range(instances.max() + 1)]
    while True:
        best, pair = 0.0, None
        for one, other in itertools.combinations(clusters, 2):
            between = [
                (weight * (score - threshold), weight)
                for (a, b), score, weight in zip(instances[edges], scores, weights, strict=True)
                if (a in one and b in other) or (b in one and a in other)
            ]
            mean = sum(score for score, _ in between) / max(sum(weight for _, weight in between), 1)
            if mean > best:
                best, pair = mean, (one, other)
        if pair is None:
            break
        clusters = [cluster for cluster in clusters if cluster not in pair] + [pair[0] | pair[1]]
    expected = np.empty(instances.max() + 1, np.int64)
    for number, cluster in enumerate(clusters):
        expected[list(cluster)] = number
    assert same_partition(group_instances(instances, edges, scores, sizes, threshold), expected)


def test_confidence_is_the_mean_probability_of_what_was_decided():
    edges, scores = np.array([[0, 1], [1, 2], [0, 2]]), np.array([2.0, -1.0, 0.5])
    sizes = np.array([10, 4, 6])
    found = confidences(np.array([0, 0, 1]), edges, scores, sizes)
    p = 1 / (1 + np.exp(-np.array([2.0, 1.0, -0.5])))
    assert found[0] == pytest.approx((4 * p[0] + 4 * p[1] + 6 * p[2]) / 14)
    assert found[1] == pytest.approx((4 * p[1] + 6 * p[2]) / 10)


def event_of_graph() -> dict[str, np.ndarray]:
    return {
        "fragments": np.array([0, 0, 1, 2, -1, 2], np.int32),
        "fragment_classes": np.array([1, 1, 3], np.int8),
        "fragment_class_scores": np.array([[0, 1, 0, 0, 0], [0, 0.2, 0, 0.8, 0], [0, 0.9, 0, 0.1, 0]], np.float32),
        "fragment_edges": np.array([[0, 2], [2, 1]], np.int32),
        "fragment_edge_scores": np.array([4.0, -3.0], np.float32),
        "fragment_interaction_scores": np.array([-9.0, 1.5], np.float32),
    }


def test_the_post_processor_makes_instances_and_corrects_classes():
    alone = {"thresholds": {name: {"small": 1} for name in PILARNET.classes}}
    (processor,) = build_post_processors({"graph_clusterer": alone}, PILARNET)
    made = processor(event_of_graph(), PILARNET)
    assert made["instances"].tolist() == [0, 0, 1, 0, -1, 0]
    assert made["semantics"].tolist() == [1, 1, 3, 1, -1, 1]
    assert made["instance_confidences"].shape == (2,)
    assert made["instance_interactions"].tolist() == [0, 0]
    assert {name: rows.dtype.name for name, rows in made.items()} == {
        "instances": "int32",
        "instance_interactions": "int32",
        "semantics": "int8",
        "instance_confidences": "float32",
    }
    (kept,) = build_post_processors({"graph_clusterer": {"correct_semantics": False}}, PILARNET)
    assert kept(event_of_graph(), PILARNET)["semantics"].tolist() == [1, 1, 1, 3, -1, 3]


def test_events_in_true_classes_have_thresholds_of_their_own(tmp_path):
    alone, joined = ({name: {"small": 1, "merge": merge} for name in PILARNET.classes} for merge in (0, -9))
    (tmp_path / "joined.yaml").write_text(json.dumps(joined))
    given = {"predicted_classes": alone, "true_classes": str(tmp_path / "joined.yaml")}
    (processor,) = build_post_processors({"graph_clusterer": {"thresholds": given}}, PILARNET)
    for mark, instances, of_file in (({}, [0, 1], 0), (0, [0, 1], 0), (1, [0, 0], -9)):
        event = event_of_graph() | (mark if isinstance(mark, dict) else {"in_true_classes": np.array([mark])})
        assert processor(event, PILARNET)["instances"][1:3].tolist() == instances
        text = thresholds_text([processor], mark == 1)
        assert {values["merge"] for values in json.loads(text).values()} == {of_file}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"thresholds": {"true_classes": {}, "MIP": {"merge": 1}}}, "give predicted_classes and true_classes"),
        ({"thresholds": {"predicted_classes": {"Muon": {}}, "true_classes": {}}}, "no class 'Muon'"),
        ({"linkage": "avrage"}, "no linkage 'avrage'; did you mean 'average'"),
        ({"together": float("inf")}, "together is inf; a finite number"),
        ({"thresholds": {"MIP": {"merge": float("nan")}}}, "merge is nan"),
        ({"thresholds": {"Shower": {"link": 1.0}}}, "no key 'link'"),
    ],
)
def test_bad_arguments_are_named(arguments, text):
    with pytest.raises(UserError, match=text):
        build_post_processors({"graph_clusterer": arguments}, PILARNET)


def test_an_event_without_fragments_has_no_instances():
    (processor,) = build_post_processors({"graph_clusterer": {}}, PILARNET)
    event = {name: rows[:0] for name, rows in event_of_graph().items()}
    made = processor(event, PILARNET)
    assert {name: len(rows) for name, rows in made.items()} == dict.fromkeys(made, 0)


class OneFile:
    """A reader of events in memory."""

    def __init__(self, events, **info):
        self.events, self.info = events, {"classes": list(PILARNET.classes), "class_scheme": "pilarnet", **info}
        self.products = tuple(events[0])

    def __len__(self):
        return len(self.events)

    def event(self, index, products=None):
        return {name: self.events[index][name] for name in products or self.products}


def parted_events():
    """Pairs of one instance score above -0.9, others below -1.1: only thresholds in between merge the right ones."""
    rng = np.random.default_rng(0)
    events = []
    for _ in range(3):
        instance = np.repeat([0, 1], 6)
        edges = np.array(list(itertools.combinations(range(12), 2)))
        same = instance[edges[:, 0]] == instance[edges[:, 1]]
        scores = np.where(same, rng.uniform(-0.9, -0.6, len(edges)), rng.uniform(-1.4, -1.1, len(edges)))
        fragments = np.repeat(np.arange(12), 20)
        events.append(
            {
                "fragments": fragments.astype(np.int32),
                "fragment_classes": np.full(12, 2, np.int8),
                "fragment_class_scores": np.tile(np.eye(5)[2], (12, 1)),
                "fragment_edges": edges,
                "fragment_edge_scores": scores,
                "fragment_interaction_scores": scores,
                "instances_true": instance[fragments],
                "semantics_true": np.full(len(fragments), 2),
            }
        )
    return events


def test_tuning_finds_the_threshold_that_parts_the_instances(monkeypatch):
    told = {}

    class Bar(graph_search.Progress):
        def __init__(self, description, total, **options):
            told.update(total=total, done=0)
            super().__init__(description, total, **options)

        def advance(self, steps=1, **numbers):
            told["done"] += steps

    monkeypatch.setattr(graph_search, "Progress", Bar)
    found = tune_graph(OneFile(parted_events()), events=range(3), semantics="true", threads=1)
    shower = found.classes["Shower"]
    assert (shower.thresholds.merge, shower.mean, shower.events) == (-1.0, 1.0, 3)
    assert told["done"] == told["total"] > 0
    assert shower.before == SHIPPED["Shower"] and shower.mean_before < 0.5
    assert found.classes["MIP"].events == 0
    values = yaml.safe_load(found.text("file.h5"))
    assert resolve_graph_thresholds(values, PILARNET)["Shower"] == shower.thresholds
    assert clusterer_of(values) == "graph_clusterer"
    assert "attach -20: small instances are given away in any case" in found.table()
    document = json.loads(found.to_json("file.h5"))["classes"]["Shower"]
    assert document["mean"] == 1.0 and document["before"]["mean"] == shower.mean_before


def test_what_was_merged_last_is_not_taken_for_other_thresholds():
    [event] = read_graph_events(OneFile(parted_events()), [0], PILARNET, 10, "true")
    rng = np.random.default_rng(0)
    event = replace(event, scores=rng.normal(size=len(event.edges)), classes=rng.integers(0, 5, len(event.classes)))
    tried = set()
    for _ in range(60):
        merge, attach = rng.choice([-1.0, 0.0, 1.5, 40.0], len(PILARNET)), rng.choice([-20.0, 0.0])
        thresholds = {
            name: GraphThresholds(float(m), attach, 10.0) for name, m in zip(PILARNET.classes, merge, strict=True)
        }
        kind = rng.choice(["average", "sum"])
        found = event._partition(thresholds, PILARNET, kind)
        fragments = event.edges, event.scores, event.sizes, event.classes
        np.testing.assert_array_equal(found, partition(*fragments, thresholds, PILARNET, kind))
        tried.add(found.tobytes())
    assert len(tried) > 10


def test_tuning_keeps_thresholds_of_the_file_that_no_point_of_the_grid_is_better_than():
    of_file = {name: {"merge": -1.02, "attach": -5.0, "small": 3.0} for name in PILARNET.classes}
    config = "post_processing: {graph_clusterer: {linkage: sum}}"
    reader = OneFile(parted_events(), thresholds=json.dumps(of_file), cfg=config)
    found = tune_graph(reader, events=range(3), semantics="true", threads=1)
    assert found.found() == of_file
    assert (found.classes["Shower"].mean, found.classes["Shower"].mean_before) == (1.0, 1.0)
    assert "surely better than the thresholds before: Shower" in found.table()
    assert graph_search._before(reader.info, PILARNET)[1] == "sum"
    others = json.dumps({"MIP": {"seed": 0.5, "probability": 0.1}})
    assert graph_search._before({"thresholds": others}, PILARNET) == (SHIPPED, "average")


def test_a_class_that_does_worse_together_with_others_keeps_its_thresholds():
    before, best = ({name: GraphThresholds(merge, -20, 10) for name in ("MIP", "Delta")} for merge in (0.0, -1.0))
    own = {name: np.array([0.5, np.nan]) for name in best}

    def by_class(thresholds):
        both = all(one.merge < 0 for one in thresholds.values())
        return {
            name: own[name] + (thresholds[name].merge < 0) * (-0.1 if both and name == "MIP" else 0.1) for name in own
        }

    chosen, after = chosen_together(best, before, own, by_class)
    assert chosen == {"MIP": before["MIP"], "Delta": best["Delta"]}
    assert (after["MIP"][0], after["Delta"][0]) == (0.5, 0.6)


@pytest.mark.parametrize(("loss", "kept"), [(0.05, False), (0.2, True)])
def test_a_class_that_stays_may_lose_only_what_others_gain_more(loss, kept):
    before = {name: GraphThresholds(0.0, -20, 10) for name in ("MIP", "Delta")}
    best = before | {"Delta": GraphThresholds(-1.0, -20, 10)}
    own = {"MIP": np.array([0.9, 0.9]), "Delta": np.array([0.5, np.nan])}

    def by_class(thresholds):
        changed = thresholds["Delta"].merge < 0
        return {"MIP": own["MIP"] - changed * loss, "Delta": own["Delta"] + changed * 0.1}

    chosen, after = chosen_together(best, before, own, by_class)
    assert chosen == (before if kept else best)
    np.testing.assert_array_equal(after["MIP"], by_class(chosen)["MIP"])


def test_the_table_tells_what_a_class_lost():
    start, other = GraphThresholds(0.0, -20, 10), GraphThresholds(1.0, -4, 10)
    values = np.full([len(axis) for axis in GRID], np.nan)
    classes = {
        "MIP": TunedThresholds(start, 0.91, start, 0.9, 5, values),
        "HIP": TunedThresholds(start, 0.8, start, 0.8, 5, values),
        "Delta": TunedThresholds(start, 0.5, other, 0.6, 5, values),
        "Michel": TunedThresholds(start, math.nan, start, math.nan, 0, values),
    }
    table = graph_search.GraphTuning(classes, "ari", (0, 5), 10, "true", GRID).table()
    (line,) = [line for line in table.splitlines() if "lower than before" in line]
    assert line.startswith("MIP is 0.01 lower than before") and line.endswith("sum over all classes is 0.09 higher")


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_contraction_averages_the_edges_between_groups(seed):
    rng = np.random.default_rng(seed)
    count, size = int(rng.integers(1, 9)), int(rng.integers(0, 40))
    first, second = rng.integers(0, count, (2, size))
    scores = rng.normal(size=size)
    weights = rng.random(size) + 0.1
    found = contract(first, second, scores, weights, count)
    wanted = {}
    for one, other, score, weight in zip(first, second, scores, weights, strict=True):
        wanted.setdefault((one, other), []).append((score, weight))
    assert [tuple(pair) for pair in found.pairs] == sorted(wanted)
    edges = [np.array(wanted[pair]) for pair in sorted(wanted)]
    np.testing.assert_allclose(found.means, [np.average(e[:, 0], weights=e[:, 1]) for e in edges], atol=1e-12)
    np.testing.assert_allclose(found.weights, [e[:, 1].sum() for e in edges], atol=1e-12)


def test_a_class_takes_thresholds_that_help_all_together():
    start = {name: GraphThresholds(0.0, -20, 10) for name in ("MIP", "Delta")}
    rng = np.random.default_rng(0)
    noise = {name: 0.01 * rng.normal(size=50) for name in start}

    def by_class(thresholds):
        gained = 0.2 * (thresholds["Delta"].small == 5.0) - 0.1 * (thresholds["Delta"].merge == -2.0)
        lost = 0.05 * (thresholds["Delta"].small == 5.0)
        return {"MIP": 0.9 - lost + noise["MIP"], "Delta": 0.5 + gained + noise["Delta"]}

    before = {name: values - 0.1 for name, values in by_class(start).items()}
    chosen, scores = refined(start, by_class(start), before, by_class, GRID)
    assert chosen == {"MIP": start["MIP"], "Delta": GraphThresholds(0.0, -20, 5)}
    assert scores["Delta"].mean() == pytest.approx(0.7, abs=0.01)
    kept, _ = refined(start, by_class(start), by_class(start), by_class, GRID)
    assert kept == start, "MIP would fall below what it had before"
