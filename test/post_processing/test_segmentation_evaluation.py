"""The segmentation's scores against scikit-learn, and what the command says where there is no truth."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from mlreco.cli import main
from mlreco.iotools import HDF5Writer
from mlreco.post_processing.evaluation.segmentation import confusion_matrix, evaluate_segmentation

CLASSES = ("HIP", "MIP", "Shower", "Delta", "Michel")


class MemoryReader:
    """A file in memory."""

    def __init__(self, events):
        self.events, self.products, self.info = events, tuple(events[0]), {"classes": list(CLASSES)}

    def __len__(self):
        return len(self.events)

    def event(self, index, products=None):
        return {name: self.events[index][name] for name in products or self.products}


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), max_size=60))
def test_the_matrix_is_that_of_scikit_learn(pairs):
    true, predicted = np.array(pairs, int).reshape(-1, 2).T
    known = (true >= 0) & (predicted >= 0)
    expected = np.zeros((5, 5), int)
    if known.any():
        expected = sklearn.metrics.confusion_matrix(true[known], predicted[known], labels=range(5))
    assert np.array_equal(confusion_matrix(true, predicted, 5), expected)


def test_scores_and_table():
    rng = np.random.default_rng(0)
    true = rng.integers(-1, 4, 500)
    predicted = np.where(rng.random(500) < 0.7, np.maximum(true, 0), rng.integers(0, 4, 500))
    parts = np.split(np.arange(500), [0, 100, 350])
    reader = MemoryReader([{"semantics_true": true[p], "semantics_predicted": predicted[p]} for p in parts])
    found = evaluate_segmentation(reader)
    known = true >= 0
    wanted = {"labels": range(5), "average": None, "zero_division": np.nan}
    precision, recall, _, _ = sklearn.metrics.precision_recall_fscore_support(true[known], predicted[known], **wanted)
    iou = sklearn.metrics.jaccard_score(true[known], predicted[known], labels=range(5), average=None, zero_division=0)
    assert found.accuracy == pytest.approx(np.mean(true[known] == predicted[known]))
    assert found.unknown == (~known).sum()
    for number in range(4):
        scores = found.scores(number)
        assert scores["precision"] == pytest.approx(precision[number])
        assert scores["recall"] == pytest.approx(recall[number])
        assert scores["iou"] == pytest.approx(iou[number])
    assert np.isnan(list(found.scores(4).values())).all()
    lines = found.table().splitlines()
    assert lines[0].startswith(
        f"segmentation: {found.accuracy:.4f} of {known.sum()} voxels are right; {(~known).sum()}"
    )
    assert lines[-1].split()[:4] == ["Michel", "-", "-", "-"]
    assert evaluate_segmentation(reader, [1]).confusion.sum() == (true[parts[1]] >= 0).sum()
    assert found.to_dict()["classes"]["Michel"]["recall"] is None


def test_an_output_without_segmentation_or_truth(tmp_path, capsys):
    event = {"coordinates": np.zeros((3, 3), int), "semantics": np.zeros(3, int), "fragments": np.arange(3)}
    assert evaluate_segmentation(MemoryReader([event])) is None
    path = str(tmp_path / "output.h5")
    with HDF5Writer(path, {"class_scheme": "pilarnet", "classes": list(CLASSES)}) as writer:
        writer.append(event)
    assert main(["evaluate", path]) == 2
    assert "was made of events without labels, and nothing can be compared" in capsys.readouterr().err
