"""Events as objects: opened from files of every kind, tabulated, shown, saved and read again."""

from pathlib import Path

import numpy as np
import pytest

import mlreco
from mlreco import UserError
from mlreco.iotools import convert
from mlreco.reconstructor.event import has_row_per_voxel

DATA = Path(__file__).parents[1] / "iotools" / "genuine"


def test_an_opened_file_is_a_sequence(sample, command_line_output):
    assert len(sample) == 20
    assert [event.event_id[2] for event in sample] == list(range(20))
    assert sample[-1].event_id == sample[19].event_id
    assert [event.name for event in sample[2:4]] == ["thin_sample.h5, event 2", "thin_sample.h5, event 3"]
    assert repr(sample[0]).startswith("<thin_sample.h5, event 0: 1595 voxels")
    with mlreco.open(command_line_output) as there:
        assert set(there.products) == set(there[0])
        assert there[0].classes == ("HIP", "MIP", "Shower", "Delta", "Michel")


def test_events_of_a_file_have_the_labels_that_an_output_has(sample, command_line_output):
    with mlreco.open(command_line_output) as there:
        for given, event in zip(sample, there, strict=False):
            for name in given:
                assert np.array_equal(given[name], event[name]), name
                assert given[name].dtype == event[name].dtype


@pytest.mark.parametrize("file", ["events.h5", "larcv2.root"])
def test_other_kinds_of_files(file, tmp_path):
    pytest.importorskip("uproot")
    with mlreco.open(DATA / file) as events:
        first = [(event.coordinates, event.energies) for event in events]
    convert([DATA / file], tmp_path / "converted.h5")
    with mlreco.open(tmp_path / "converted.h5") as again:
        assert len(again) == len(first)
        for event, (coordinates, energies) in zip(again, first, strict=True):
            assert np.array_equal(event.coordinates, coordinates)
            assert np.array_equal(event.energies, energies)


def test_saved_events_are_read_again(thin, sample, tmp_path):
    events = thin.predict(sample[:3])
    mlreco.save(tmp_path / "three.h5", events)
    with mlreco.open(tmp_path / "three.h5") as again:
        assert len(again) == 3
        assert again.info["classes"] == list(thin.classes)
        for event, read in zip(events, again, strict=True):
            assert set(event) == set(read)
            for name in event:
                assert event[name].dtype == read[name].dtype and event[name].tobytes() == read[name].tobytes(), name
    sample[0].save(tmp_path / "raw.h5")
    with mlreco.open(tmp_path / "raw.h5") as raw:
        assert np.array_equal(thin.predict(raw[0]).fragments, events[0].fragments)
    events[1].save(tmp_path / "page.html")
    assert "Predicted instances" in (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="a page shows one event"):
        mlreco.save(tmp_path / "pages.html", events)


def test_tables_as_long_as_the_image_have_no_row_per_voxel():
    table = np.zeros(3, [("particle", "<i4")])
    for name, values, expected in (
        ("energies", np.ones(3), True),
        ("instances_true", np.ones(3), True),
        ("energies", np.ones(2), False),
        ("particles", table, False),
        ("fragment_classes", np.ones(3), False),
        ("instance_confidences", np.ones(3), False),
        ("voxel_size", np.ones((3, 3)), False),
    ):
        assert has_row_per_voxel(name, values, 3) is expected


def test_tables(thin, sample):
    event = thin.predict(sample[4])
    voxels, particles = event.to_pandas(), event.particles.to_pandas()
    assert len(voxels) == event.num_voxels
    assert list(voxels.columns[:4]) == ["x", "y", "z", "energies"]
    assert {"score_MIP", "embeddings_1", "fragments", "instances", "semantics"} <= set(voxels.columns)
    assert len(particles) == len(event.particles) == voxels["instances"].nunique()
    np.testing.assert_array_equal(event.particles["energy"], particles["energy"])
    sums = voxels.groupby("instances")["energies"].sum()
    np.testing.assert_allclose(particles.set_index("particle")["energy"], sums, rtol=1e-5)
    assert set(particles["class"]) <= set(event.classes)


@pytest.mark.parametrize("colour", ["instances", "semantics", "energies", "instances_true", "seediness"])
@pytest.mark.parametrize("space", ["image", "embedding"])
def test_figures(thin, sample, colour, space):
    event = thin.predict(sample[0])
    figure = event.show(colour, space)
    [trace] = figure.data
    wanted = event.positions if space == "image" else event.embeddings[:, :3]
    np.testing.assert_allclose(np.stack([trace.x, trace.y, trace.z], axis=1), wanted)
    if colour == "instances":
        colours = np.asarray(trace.marker.color)
        for one in np.unique(event.instances):
            assert len(set(colours[event.instances == one])) == 1
        assert len(set(colours)) == len(np.unique(event.instances))
    assert "[cm]" in figure.layout.scene.yaxis.title.text or space == "embedding"


def test_the_figure_of_an_empty_event(thin):
    event = thin.predict(np.empty((0, 3), int), np.empty(0), voxel_size=0.3)
    assert len(event.show().data[0].x) == 0
