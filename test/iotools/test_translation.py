"""Classes of one numbering in another: alone, and of files whose labels a configuration reads in its own."""

from contextlib import closing

import h5py
import numpy as np
import pytest
from io_samples import SCHEMA

from mlreco.errors import UserError
from mlreco.iotools import LArCVDataset
from mlreco.iotools.parsers.translation import translated_classes
from mlreco.semantics import MLRECO, PILARNET

LABELS = ("segment_label", "cluster_label")


@pytest.mark.parametrize(
    ("name", "pdg", "expected"),
    [
        ("Shower", 22, "Shower"),
        ("Michel", 11, "Michel"),
        ("Delta", 11, "Delta"),
        ("Track", -13, "MIP"),
        ("Track", 211, "MIP"),
        ("Track", 321, "MIP"),
        ("Track", 2212, "HIP"),
        ("Track", 1000020040, "HIP"),
        ("Track", 0, None),
        ("LowE", 22, None),
    ],
)
def test_classes_of_the_field_are_those_of_pilarnet_where_particles_tell(name, pdg, expected):
    found = translated_classes(np.array([MLRECO.number(name), -1, 9]), MLRECO, PILARNET, np.array([pdg, pdg, pdg]))
    assert found.tolist() == [-1 if expected is None else PILARNET.number(expected), -1, -1]


def test_classes_of_pilarnet_are_those_of_the_field():
    found = translated_classes(np.arange(-1, 5), PILARNET, MLRECO, np.zeros(6, int))
    assert [MLRECO.classes[number] for number in found[1:]] == ["Track", "Track", "Shower", "Delta", "Michel"]
    assert found[0] == -1


@pytest.fixture
def pilarnet_m(tmp_path):
    """A muon, a proton, a particle of no kind, all tracks, a Michel electron, and two low-energy voxels."""
    clusters = [[2, -1, -1, -1, 4, -1], [3, 4, 2, 1, 1, 2], [2, 5, 2, 1, 1, 4], [1, 6, 2, 1, 1, -1], [2, 7, 2, 1, 2, 1]]
    points = np.zeros((10, 8), np.float32)
    points[:, 0], points[:, 3] = np.arange(10), 1
    with h5py.File(tmp_path / "events.h5", "w") as file:
        for name, values in (("point", points), ("cluster", np.array(clusters, np.float32))):
            file.create_dataset(name, (1,), h5py.vlen_dtype(np.float32))[0] = values.ravel()
    return tmp_path / "events.h5"


def test_labels_of_another_numbering_are_translated_where_they_may_be_missing(pilarnet_m):
    dataset = LArCVDataset(pilarnet_m, SCHEMA, optional=LABELS, class_scheme="pilarnet")
    assert dataset.keys == ("input_data", "cluster_label")
    assert set(dataset.left_out) == {"segment_label"}, "which of both a track is only particles tell"
    assert dataset.remarks == ("'cluster_label' is translated from the classes of 'mlreco'",)
    labels = dataset[0]["cluster_label"]
    columns = dict(zip(labels.columns, labels.features.T, strict=True))
    names = [PILARNET.classes[int(number)] if number >= 0 else None for number in columns["semantic"]]
    assert names == [None, None, "MIP", "MIP", "MIP", "HIP", "HIP", None, "Michel", "Michel"]
    assert columns["cluster"].tolist() == [-1, -1, 0, 0, 0, 1, 1, 2, 3, 3]
    assert columns["interaction"].tolist() == [-1, -1, *[1] * 8]
    dataset.close()


def test_labels_of_the_same_numbering_are_as_they_stand(pilarnet_m):
    dataset = LArCVDataset(pilarnet_m, SCHEMA, optional=LABELS, class_scheme="mlreco")
    assert not dataset.left_out
    assert not dataset.remarks
    labels = dataset[0]["cluster_label"]
    assert labels.features[:, labels.columns.index("semantic")].tolist() == [4, 4, 1, 1, 1, 1, 1, 1, 2, 2]
    dataset.close()


def test_labels_that_must_be_there_are_not_translated(pilarnet_m):
    """A training in other classes than the file's is a mistake until the configuration says otherwise."""
    with pytest.raises(UserError, match="are numbered as in 'mlreco'"):
        LArCVDataset(pilarnet_m, SCHEMA, class_scheme="pilarnet")
    label = SCHEMA["cluster_label"]
    told = {"label": {**label, "args": {**label["args"], "image_scheme": "mlreco"}}}
    with closing(LArCVDataset(pilarnet_m, told, class_scheme="pilarnet")) as dataset:
        table = dataset[0]["label"]
        assert table.features[:, table.columns.index("semantic")].tolist() == [-1, -1, 1, 1, 1, 0, 0, -1, 4, 4]
