import csv
import json
from pathlib import Path

import numpy as np
import pytest

from mlreco.cli import main
from mlreco.iotools import HDF5Writer
from mlreco.post_processing.contingency import contingency
from mlreco.post_processing.evaluation.bootstrap import bootstrap_intervals, intervals
from mlreco.post_processing.evaluation.evaluate import evaluate
from mlreco.post_processing.evaluation.failures import broken, detached, failures_table, find_failures, lost_fragments
from mlreco.post_processing.evaluation.failures import merged as merged_instances
from mlreco.post_processing.evaluation.tables import event_tables, instance_rows, interval_table, sample_table

CLASSES = ("HIP", "MIP", "Shower", "Delta", "Michel")


class MemoryReader:
    def __init__(self, events):
        self.events = events
        self.products = tuple(events[0])
        self.info = {"classes": list(CLASSES)}

    def __len__(self):
        return len(self.events)

    def event(self, index, products=None):
        return {name: self.events[index][name] for name in products or self.products}


def make_event(voxels, seed):
    rng = np.random.default_rng(seed)
    semantics = rng.integers(-1, 3, voxels)
    instances = np.where(semantics >= 0, semantics * 5 + rng.integers(0, 4, voxels), -1)
    moved = rng.random(voxels) < 0.2
    fragments = np.where(moved, rng.integers(-1, 20, voxels), instances)
    return {
        "semantics_true": semantics.astype(np.int8),
        "semantics": semantics.astype(np.int8),
        "instances_true": instances.astype(np.int32),
        "fragments": fragments.astype(np.int32),
    }


@pytest.fixture(scope="module")
def reader():
    return MemoryReader([make_event(voxels, seed) for seed, voxels in enumerate((400, 0, 1, 150, 700))])


def table_of(cells):
    """Contingency table from {(true, predicted): voxels}."""
    true = np.concatenate([np.full(n, t) for (t, _), n in cells.items()])
    predicted = np.concatenate([np.full(n, p) for (_, p), n in cells.items()])
    return contingency(true, predicted)


def test_intervals_of_a_known_distribution():
    values = np.random.default_rng(1).normal([2.0, 5.0], [1.0, 3.0], (4000, 2))
    low, high = bootstrap_intervals(values)
    error = values.std(axis=0) / np.sqrt(4000) * 0.9945
    np.testing.assert_allclose(high - values.mean(axis=0), error, rtol=0.1)
    np.testing.assert_allclose(values.mean(axis=0) - low, error, rtol=0.1)
    np.testing.assert_array_equal(bootstrap_intervals(values)[0], low)


def test_intervals_without_and_with_one_event():
    assert np.isnan(bootstrap_intervals(np.empty((0, 2)))).all()
    low, high = bootstrap_intervals(np.array([[0.3]]))
    assert low == high == 0.3


def test_interval_holds_the_mean(reader):
    evaluation = evaluate(reader)
    for number in range(3):
        for name, (low, high) in intervals(evaluation, number).items():
            assert low <= evaluation.summary(number)[name] <= high
    assert all(np.isnan(intervals(evaluation, 4)["ari"]))
    assert interval_table(evaluation).splitlines()[-2].split() == ["Michel", *"-----"]


def test_sample(reader):
    evaluation = evaluate(reader, min_voxels=0)
    line = next(line for line in sample_table(evaluation).splitlines() if line.startswith("MIP")).split()
    per_event = [
        len({i for i, c in zip(e["instances_true"], e["semantics_true"], strict=True) if c == 1}) for e in reader.events
    ]
    per_event = [count for count in per_event if count]
    assert line[1:3] == [str(sum(per_event)), str(len(per_event))]
    assert line[3:6] == [f"{np.mean(per_event):.1f}", "±", f"{np.std(per_event):.1f}"]


def test_instance_rows_against_sets(reader):
    rows = instance_rows(event_tables(reader))
    assert len(rows["event"]) == evaluate(reader).rows["true_instances"][evaluate(reader).rows["class"] >= 0].sum()
    for i in range(len(rows["event"])):
        event = reader.events[rows["event"][i]]
        of_class = (event["semantics_true"] == rows["class"][i]) & (event["instances_true"] >= 0)
        labels, sizes = np.unique(event["instances_true"][of_class], return_counts=True)
        of_class &= np.isin(event["instances_true"], labels[sizes >= 10])
        mine = of_class & (event["instances_true"] == rows["instance"][i])
        found, shared = np.unique(event["fragments"][mine], return_counts=True)
        best = found[shared.argmax()]
        size = (of_class & (event["fragments"] == best)).sum()
        assert rows["voxels"][i] == mine.sum()
        assert rows["fragments"][i] == len(found)
        assert (rows["best_fragment"][i], rows["fragment_voxels"][i]) == (best, size)
        assert rows["efficiency"][i] == pytest.approx(shared.max() / mine.sum())
        assert rows["purity"][i] == pytest.approx(shared.max() / size)
        assert rows["dice"][i] == pytest.approx(2 * shared.max() / (size + mine.sum()))


def test_instance_rows_of_nothing():
    rows = instance_rows([])
    assert all(len(values) == 0 for values in rows.values())
    assert rows["event"].dtype == np.int64


PERFECT = {(0, 0): 500, (1, 1): 20}


@pytest.mark.parametrize(
    ("measure", "cells", "voxels"),
    [
        (lost_fragments, PERFECT, 0),
        (lost_fragments, {(0, 0): 500, (1, 0): 20}, 20),
        (lost_fragments, {(0, 0): 500, (1, 0): 60}, 0),
        (lost_fragments, {(0, 0): 500, (1, 0): 8, (1, 1): 12}, 0),
        (broken, PERFECT, 0),
        (broken, {(0, 0): 300, (0, 1): 150, (0, 2): 50}, 200),
        (broken, {(0, 0): 300, (0, 1): 20}, 0),
        (broken, {(1, 0): 20, (1, 1): 20}, 0),
        (merged_instances, PERFECT, 0),
        (merged_instances, {(0, 0): 500, (1, 0): 100, (2, 0): 60, (3, 0): 30}, 160),
        (merged_instances, {(0, 0): 500, (1, 0): 100, (1, 1): 120}, 0),
        (detached, PERFECT, 0),
        (detached, {(0, 0): 900, (0, 1): 40, (0, 2): 60}, 100),
        (detached, {(0, 0): 900, (0, 1): 40, (1, 1): 41}, 0),
        (detached, {(0, 0): 400, (0, 1): 600}, 0),
    ],
)
def test_failures_by_hand(measure, cells, voxels):
    assert measure(table_of(cells)) == voxels


def test_perfect_prediction_has_no_failure(reader):
    events = [{**event, "fragments": event["instances_true"]} for event in reader.events]
    failures = find_failures(event_tables(MemoryReader(events), min_voxels=0), CLASSES)
    assert not any(failures.values())
    assert "merged showers in 0" in failures_table(failures, 3)


def test_worst_events_first():
    def event(wrong):
        fragments = np.repeat([0, 1], [300 - wrong, wrong])
        semantics = np.ones(300, int)
        return {"semantics_true": semantics, "instances_true": np.zeros(300, int), "fragments": fragments}

    failures = find_failures(event_tables(MemoryReader([event(n) for n in (0, 40, 100, 40)])), CLASSES)
    assert [(one.event, one.voxels) for one in failures["broken tracks"]] == [(2, 100), (1, 40), (3, 40)]
    assert failures["broken tracks"][0].share == pytest.approx(1 / 3)
    lines = failures_table(failures, 2).splitlines()
    assert lines[2].split() == ["broken", "tracks", "MIP", "2", "100", "33.3"]
    assert len(lines) == 4


def test_command(reader, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with HDF5Writer("output.h5", {"class_scheme": "pilarnet", "classes": list(CLASSES)}) as writer:
        for event in reader.events:
            writer.append(event)
    files = ["--rows", "rows.csv", "--instances", "new/instances.csv", "--json", "numbers.json"]
    assert main(["evaluate", "output.h5", *files, "--worst", "1"]) == 0
    document = json.loads(Path("numbers.json").read_text())
    assert document["intervals_68"]["MIP"]["ari"] == list(intervals(evaluate(reader), 1)["ari"])
    assert document["intervals_68"]["Michel"]["ari"] is None
    said = capsys.readouterr().out
    assert "failures" in said
    assert "68 % intervals" not in said
    assert main(["evaluate", "output.h5", "--full"]) == 0
    said = capsys.readouterr().out
    assert "68 % intervals" in said and "failures" in said and "instances/event" in said
    assert main(["evaluate", "output.h5"]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 13 and "--full" in said
    with open("rows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = evaluate(reader).rows
    assert [float(row["ari"]) for row in rows] == expected["ari"].tolist()
    assert rows[0]["class"] == "HIP" and rows[3]["class"] == "all"
    with open("new/instances.csv", newline="") as file:
        found = [float(row["dice"]) for row in csv.DictReader(file)]
    assert found == instance_rows(event_tables(reader))["dice"].tolist()
