"""Which instances are found: against a slow count over all pairs, and what one class's metrics do not see."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.post_processing.evaluation.evaluate import evaluate
from mlreco.post_processing.evaluation.found import evaluate_found, majority_classes
from mlreco.post_processing.evaluation.segmentation import evaluate_corrected, evaluate_segmentation

CLASSES = ("HIP", "MIP", "Shower", "Delta", "Michel")


class MemoryReader:
    """A file in memory."""

    def __init__(self, *events, cfg=""):
        self.events, self.products = events, tuple(events[0])
        self.info = {"classes": list(CLASSES), "cfg": cfg, "class_scheme": "pilarnet"}

    def __len__(self):
        return len(self.events)

    def event(self, index, products=None):
        return {name: self.events[index][name] for name in products or self.products}


def slow_counts(event, min_voxels):
    """The five numbers by class, with sets of voxels."""
    true, classes = event["instances_true"], event["semantics_true"]
    known = {i for i in range(len(true)) if true[i] >= 0}

    def sets(labels, of_voxels):
        found = []
        for label in sorted({int(labels[i]) for i in known} - {-1}):
            voxels = {i for i in known if labels[i] == label}
            votes = [sum(of_voxels[i] == c for i in voxels) for c in range(5)]
            found.append((voxels, votes.index(max(votes)) if max(votes) else None))
        return found

    trues, predicted = sets(true, classes), sets(event["instances"], event["semantics"])
    numbers = np.zeros((5, 5), int)
    for voxels, of in predicted:
        if of is not None and len(voxels) >= min_voxels:
            numbers[3, of] += 1
            numbers[4, of] += any(2 * len(voxels & other) > len(voxels | other) for other, _ in trues)
    for voxels, of in trues:
        if of is None or len(voxels) < min_voxels:
            continue
        partners = [c for other, c in predicted if 2 * len(voxels & other) > len(voxels | other)]
        assert len(partners) < 2
        numbers[0, of] += 1
        numbers[1, of] += len(partners)
        numbers[2, of] += partners == [of]
    return numbers


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_numbers_are_those_of_a_slow_count(seed, min_voxels):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(0, 60))
    true = rng.integers(-1, 5, size)
    event = {
        "instances_true": true,
        "semantics_true": np.where(true >= 0, (true + (rng.random(size) < 0.2)) % 5, -1),
        "instances": np.where(rng.random(size) < 0.8, true, rng.integers(-1, 6, size)),
        "semantics": rng.integers(-1, 5, size),
    }
    found = evaluate_found(MemoryReader(event), min_voxels=min_voxels)
    numbers = np.stack([found.true, found.found, found.right, found.predicted, found.matched])
    assert np.array_equal(numbers, slow_counts(event, min_voxels))


def muon_with_a_delta_ray(instances):
    return {
        "instances_true": np.repeat([0, 1], [100, 20]),
        "semantics_true": np.repeat([1, 3], [100, 20]),
        "instances": np.asarray(instances),
        "semantics": np.repeat([1, 3], [100, 20]),
    }


def test_a_delta_ray_in_the_instance_of_its_muon_is_not_found():
    apart = muon_with_a_delta_ray(np.repeat([0, 1], [100, 20]))
    within = muon_with_a_delta_ray(np.zeros(120, int))
    assert [evaluate(MemoryReader(event)).summary(3)["ari"] for event in (apart, within)] == [1.0, 1.0]
    both, one = (evaluate_found(MemoryReader(event)) for event in (apart, within))
    assert both.found.tolist() == both.right.tolist() == [0, 1, 0, 1, 0]
    assert one.found.tolist() == [0, 1, 0, 0, 0]
    assert one.true.tolist() == [0, 1, 0, 1, 0]
    lines = one.table().splitlines()
    assert lines[-1].split() == ["all", "0.5000", "0.5000", "2", "1.0000", "1"]
    assert lines[2].split()[:3] == ["HIP", "-", "-"]
    assert one.to_dict()["classes"]["Delta"] == {"true": 1, "found": 0, "right": 0, "predicted": 0, "matched": 0}


def test_a_file_without_truth_tells_nothing():
    event = muon_with_a_delta_ray(np.zeros(120, int))
    assert evaluate_found(MemoryReader({"instances": event["instances"], "semantics": event["semantics"]})) is None


def test_the_class_of_an_instance_is_the_most_frequent_one():
    found = majority_classes(np.array([7, 7, 7, 2, 2, 5]), np.array([4, 1, 1, 3, 0, -1]), 5)
    assert found.tolist() == [0, -1, 1]


def test_corrected_classes_are_told_beside_those_of_the_network():
    event = {**muon_with_a_delta_ray(np.repeat([0, 1], [100, 20])), "semantics_predicted": np.ones(120, int)}
    reader = MemoryReader(event)
    assert (evaluate_segmentation(reader).accuracy, evaluate_corrected(reader).accuracy) == (100 / 120, 1.0)
    assert evaluate_corrected(reader).table().startswith("corrected classes: 1.0000 of 120")
    true = "model: {modules: {uresnet_spice: {semantics: true}}}"
    assert evaluate_corrected(MemoryReader(event, cfg=true)) is None, "made in true classes"
    marks = [dict(event, in_true_classes=np.array([mark], np.int8)) for mark in (0, 1)]
    assert evaluate_corrected(MemoryReader(*marks, cfg=true)).confusion.sum() == 120, "the mark says it of each event"
    assert evaluate_corrected(MemoryReader(marks[1])) is None
    without = {name: values for name, values in event.items() if name != "instances"}
    assert evaluate_corrected(MemoryReader(without)) is None, "nothing corrects classes"
