import json
import math

import numpy as np
import pytest
import sklearn.metrics

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.post_processing.evaluation.evaluate import evaluate
from mlreco.post_processing.evaluation.summary import ALL

CLASSES = ["HIP", "MIP", "Shower", "Delta", "Michel"]


class MemoryReader:
    """An output file in memory."""

    def __init__(self, events):
        self.events = events
        self.products = tuple(events[0])
        self.info = {"classes": CLASSES, "class_scheme": "pilarnet"}

    def __len__(self):
        return len(self.events)

    def event(self, index, products=None):
        return {name: self.events[index][name] for name in products or self.products}


def make_event(voxels, seed):
    rng = np.random.default_rng(seed)
    semantics = rng.integers(-1, 4, voxels)
    instances = np.where(semantics >= 0, semantics * 10 + rng.integers(0, 5, voxels), -1)
    moved = rng.random(voxels) < 0.1
    fragments = np.where(moved, rng.integers(-1, 40, voxels), instances)
    return {
        "semantics_true": semantics.astype(np.int8),
        "semantics": np.where(rng.random(voxels) < 0.05, 2, semantics).astype(np.int8),
        "instances_true": instances.astype(np.int32),
        "fragments": fragments.astype(np.int32),
    }


@pytest.fixture(scope="module")
def reader():
    return MemoryReader([make_event(voxels, seed) for seed, voxels in enumerate((400, 0, 1, 150, 700))])


def slow_values(events, number, min_voxels, class_product="semantics_true"):
    """(purity, efficiency, ARI, true clusters, predicted clusters, voxels in none) of each event, from sets."""
    values = []
    for event in events:
        voxels = [i for i, c in enumerate(event[class_product]) if c == number and event["instances_true"][i] >= 0]
        true = {}
        for i in voxels:
            true.setdefault(event["instances_true"][i], set()).add(i)
        true = {label: members for label, members in true.items() if len(members) >= min_voxels}
        kept = sorted(set().union(*true.values())) if true else []
        predicted = {}
        for i in kept:
            predicted.setdefault(event["fragments"][i], set()).add(i)
        if kept:
            purity = np.mean([max(len(t & p) for t in true.values()) / len(p) for p in predicted.values()])
            efficiency = np.mean([max(len(t & p) for p in predicted.values()) / len(t) for t in true.values()])
            ari = sklearn.metrics.adjusted_rand_score(event["instances_true"][kept], event["fragments"][kept])
            values.append((purity, efficiency, ari, len(true), len(predicted), len(predicted.get(-1, ()))))
    return np.array(values).reshape(-1, 6)


@pytest.mark.parametrize("min_voxels", [0, 10, 30])
@pytest.mark.parametrize(("semantics", "product"), [("true", "semantics_true"), ("predicted", "semantics")])
def test_against_slow_computation(reader, min_voxels, semantics, product):
    evaluation = evaluate(reader, min_voxels=min_voxels, semantics=semantics)
    for number in range(len(CLASSES)):
        expected = slow_values(reader.events, number, min_voxels, product)
        values = evaluation.summary(number)
        assert values["events"] == len(expected)
        assert values["true_instances"] == expected[:, 3].sum()
        assert values["pred_instances"] == (expected[:, 4] - (expected[:, 5] > 0)).sum()
        assert values["unclustered"] == expected[:, 5].sum()
        if not len(expected):
            assert math.isnan(values["purity"])
            continue
        purity, efficiency, ari, n_true, n_predicted, _ = expected.T
        assert values["purity"] == pytest.approx(purity.mean())
        assert values["efficiency"] == pytest.approx(efficiency.mean())
        assert values["ari"] == pytest.approx(ari.mean())
        multi = ari[(n_true > 1) & (n_predicted > 1)]
        assert values["ari_multi"] == pytest.approx(sum(multi) / len(multi) if len(multi) else math.nan, nan_ok=True)
        assert values["spread"]["ari"] == pytest.approx(ari.std())
        assert values["per_instance"]["purity"] == pytest.approx((purity * n_predicted).sum() / n_predicted.sum())
        assert values["per_instance"]["efficiency"] == pytest.approx((efficiency * n_true).sum() / n_true.sum())


def test_all_classes_together_count_an_instance_in_each_of_its_classes():
    event = {
        "semantics_true": np.repeat([0, 1, -1], 20),
        "instances_true": np.repeat([7, 7, -1], 20),
        "fragments": np.repeat([0, 1, -1], 20),
    }
    values = evaluate(MemoryReader([event])).summary(ALL)
    assert (values["events"], values["true_instances"], values["pred_instances"], values["voxels"]) == (1, 2, 2, 40)
    assert values["ari"] == 1


def test_voxels_without_a_fragment_are_a_cluster_but_no_instance():
    event = {
        "semantics_true": np.zeros(40, int),
        "instances_true": np.repeat([0, 1], 20),
        "fragments": np.repeat([-1, -1], 20),
    }
    evaluation = evaluate(MemoryReader([event]))
    values = evaluation.summary(0)
    assert (values["pred_instances"], values["ari"], values["purity"]) == (0, 0, 0.5)
    assert "40 voxels are in no predicted instance" in evaluation.table()


def test_an_ari_of_zero_beside_purity_one_is_explained():
    broken = {
        "semantics_true": np.zeros(40, int),
        "instances_true": np.zeros(40, int),
        "fragments": np.arange(40) // 20,
    }
    text = evaluate(MemoryReader([broken, {**broken, "fragments": np.zeros(40, int)}])).table()
    assert "In 1 of 2 events and classes only one of the two has more than one cluster: their ARI is 0" in text
    assert "their ARI is 0" not in evaluate(MemoryReader([{**broken, "fragments": np.zeros(40, int)}])).table()


def test_json_has_the_promised_keys_and_null_for_undefined(reader):
    text = evaluate(reader).to_json()
    assert "NaN" not in text
    document = json.loads(text)
    assert list(document["classes"]) == CLASSES
    for values in (*document["classes"].values(), document["all"]):
        keys = {"purity", "efficiency", "ari", "ari_multi", "events", "true_instances", "pred_instances"}
        assert keys <= set(values)
    assert document["classes"]["Michel"]["purity"] is None
    assert document["classes"]["Michel"]["events"] == 0


def test_file_without_events_is_all_null():
    empty = {name: values[:0] for name, values in make_event(1, 0).items()}
    document = json.loads(evaluate(MemoryReader([empty])).to_json())
    assert document["all"]["ari"] is None


def test_table_shows_every_class_with_counts(reader):
    lines = evaluate(reader).table().splitlines()
    values = evaluate(reader).summary(0)
    hip = next(line for line in lines if line.startswith("HIP")).split()
    assert hip[1] == f"{values['purity']:.4f}"
    assert hip[6:] == [str(values[k]) for k in ("events", "events_multi", "true_instances", "pred_instances", "voxels")]
    michel = next(line for line in lines if line.startswith("Michel")).split()
    assert michel[1:6] == ["-"] * 5


def test_event_order_changes_nothing(reader):
    first = evaluate(reader).summary(1)
    second = evaluate(MemoryReader(reader.events[::-1])).summary(1)
    assert first["ari"] == pytest.approx(second["ari"], abs=1e-12)
    assert first["pred_instances"] == second["pred_instances"]


def test_output_file_gives_the_same_numbers(reader, tmp_path):
    path = tmp_path / "output.h5"
    with HDF5Writer(path, {"class_scheme": "pilarnet", "classes": CLASSES}) as writer:
        for event in reader.events:
            writer.append(event)
    with HDF5Reader(path) as file:
        assert evaluate(file).to_dict() == evaluate(reader).to_dict()


def test_missing_labels_are_one_clear_line():
    event = {"semantics": np.zeros(3, int), "fragments": np.zeros(3, int)}
    with pytest.raises(UserError, match="no product 'semantics_true'; evaluation needs labels"):
        evaluate(MemoryReader([event]))
