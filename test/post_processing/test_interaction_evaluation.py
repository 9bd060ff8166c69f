"""The interactions' scores against scikit-learn, and files that lack a part."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from mlreco.cli.entry import main
from mlreco.iotools import HDF5Writer
from mlreco.post_processing.evaluation.interactions import evaluate_interactions
from mlreco.semantics import PILARNET


class MemoryReader:
    def __init__(self, events):
        self.events, self.info = events, {}
        self.products = tuple(events[0])

    def __len__(self):
        return len(self.events)

    def event(self, index, products=None):
        return {name: self.events[index][name] for name in products or self.products}


def made_event(seed, voxels=400):
    """Instances of one to five interactions, and some voxels without a truth or an instance."""
    rng = np.random.default_rng(seed)
    true = rng.integers(-1, int(rng.integers(1, 5)), voxels)
    of_instances = rng.integers(0, 4, 12).astype(np.int32)
    instances = np.where(rng.random(voxels) < 0.05, -1, rng.integers(0, 12, voxels)).astype(np.int32)
    return {"interactions_true": true, "instances": instances, "instance_interactions": of_instances}


def test_the_numbers_are_those_of_scikit_learn_and_of_counting():
    events = [made_event(seed) for seed in range(6)]
    events[2]["interactions_true"][:] = -1
    found = evaluate_interactions(MemoryReader(events), min_voxels=0)
    assert found.rows["event"].tolist() == [0, 1, 3, 4, 5]
    for row, index in enumerate(found.rows["event"]):
        event = events[index]
        known = event["interactions_true"] >= 0
        true = event["interactions_true"][known]
        predicted = [-1 if k < 0 else event["instance_interactions"][k] for k in event["instances"][known]]
        table = np.array(
            [[np.sum((true == t) & (np.array(predicted) == p)) for p in set(predicted)] for t in set(true)]
        )
        assert found.rows["ari"][row] == pytest.approx(adjusted_rand_score(true, predicted))
        assert found.rows["purity"][row] == pytest.approx((table.max(axis=0) / table.sum(axis=0)).mean())
        assert found.rows["efficiency"][row] == pytest.approx((table.max(axis=1) / table.sum(axis=1)).mean())
        assert found.rows["voxels"][row] == known.sum()
    summary = found.summary()
    assert summary["ari"] == pytest.approx(found.rows["ari"].mean())
    several = (found.rows["true_interactions"] > 1) & (found.rows["pred_interactions"] > 1)
    assert (summary["events"], summary["events_multi"]) == (5, several.sum())
    assert summary["ari_multi"] == pytest.approx(found.rows["ari"][several].mean())
    assert f"{summary['ari']:.4f}" in found.table()


def test_small_interactions_are_left_out_and_right_ones_score_1():
    event = {
        "interactions_true": np.repeat([0, 1, 2], [30, 20, 5]),
        "instances": np.repeat([0, 1, 2, 3], [10, 20, 20, 5]).astype(np.int32),
        "instance_interactions": np.array([1, 1, 0, 1], np.int32),
    }
    (ari,) = evaluate_interactions(MemoryReader([event])).rows["ari"]
    assert ari == 1.0
    assert evaluate_interactions(MemoryReader([event]), min_voxels=5).rows["ari"][0] < 1.0


def test_events_without_truth_have_no_mean():
    event = made_event(0)
    event["interactions_true"][:] = -1
    found = evaluate_interactions(MemoryReader([event]))
    assert found.to_dict()["ari"] is None
    assert found.to_dict()["events"] == 0
    assert "ARI" in found.table()


@pytest.mark.parametrize("missing", ["interactions_true", "instances", "instance_interactions"])
def test_a_file_that_lacks_a_part_is_not_evaluated(missing):
    event = made_event(0)
    del event[missing]
    assert evaluate_interactions(MemoryReader([event])) is None


def test_the_command_prints_and_writes_them(tmp_path, capsys):
    event = made_event(3)
    classes = np.full(len(event["instances"]), 1, np.int8)
    with HDF5Writer(tmp_path / "output.h5", {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}) as writer:
        true = {"interactions_true": event["interactions_true"].astype(np.int32), "instances_true": event["instances"]}
        writer.append({**event, **true, "semantics": classes, "semantics_true": classes})
    main(["evaluate", str(tmp_path / "output.h5"), "--json", str(tmp_path / "numbers.json"), "--min-voxels", "0"])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    wanted = evaluate_interactions(MemoryReader([event]), min_voxels=0)
    assert numbers["interactions"]["ari"] == pytest.approx(wanted.summary()["ari"])
    assert wanted.table() in capsys.readouterr().out
