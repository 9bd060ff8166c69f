"""Many events in one page: what the list says, what is inside the page and what beside it, files of any kind."""

import json
from pathlib import Path

import numpy as np
import pytest
from memory_events import CLASSES, MemoryReader, make_event
from plotly.offline import get_plotlyjs
from test_event_display import Page, rows_of, without

from mlreco import shipped
from mlreco.cli import main
from mlreco.iotools import HDF5Writer
from mlreco.post_processing.evaluation.evaluate import evaluate
from mlreco.post_processing.evaluation.failures import find_failures
from mlreco.post_processing.evaluation.summary import ALL
from mlreco.post_processing.evaluation.tables import event_tables
from mlreco.visualization import write_event_browser
from mlreco.visualization.event_index import index_row


def reader_of(count):
    events = [make_event(number=number, seed=number) for number in range(count)]
    return MemoryReader(events, source_files=json.dumps(["/data/sample.h5"]))


def test_the_list_agrees_with_the_evaluation(tmp_path):
    reader = reader_of(4)
    write_event_browser(reader, range(4), tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [row["number"] for row in page.index["rows"]] == [0, 1, 2, 3]
    assert [event["number"] for event in page.events] == [0, 1, 2, 3]
    rows = evaluate(reader).rows
    of_all = rows["class"] == ALL
    for key, column in (("ari", "ari"), ("true", "true_instances"), ("predicted", "pred_instances")):
        np.testing.assert_allclose([row[key] for row in page.index["rows"]], rows[column][of_all], atol=5e-5)
    failures = find_failures(event_tables(reader), CLASSES)
    for number, row in enumerate(page.index["rows"]):
        found = [one for kind in failures.values() for one in kind if one.event == number]
        assert row["failures"] == len(found)
        assert all(f"{one.class_name}: {one.voxels} voxels" in row["failures_text"] for one in found)


def test_events_without_truth_have_no_scores_and_the_list_no_such_columns(event, tmp_path):
    bare = without(event, "semantics_true", "instances_true")
    row = index_row(bare, CLASSES, 0)
    assert (row["ari"], row["true"], row["failures"], row["predicted"]) == (None, None, None, 7)
    write_event_browser(MemoryReader([bare, bare]), range(2), tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [column["key"] for column in page.index["columns"]] == ["number", "voxels", "energy", "predicted"]


def test_plotly_is_there_once_and_the_list_only_for_several_events(tmp_path):
    for count in (1, 3):
        write_event_browser(reader_of(3), range(count), tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert text.count(get_plotlyjs()) == 1
        assert ('id="events"' in text) == (count > 1)


def test_events_that_do_not_fit_stand_in_a_folder(tmp_path):
    written = write_event_browser(reader_of(4), [3, 1, 0], tmp_path / "page.html", most_bytes=1)
    page = Page(written.path.read_text(encoding="utf-8"))
    assert [event["number"] for event in page.events] == [3]
    assert written.outside == 2
    assert written.folder == tmp_path / "page_events"
    sizes = 0
    for row in page.index["rows"][1:]:
        script = (tmp_path / row["file"]).read_text(encoding="utf-8")
        sizes += len(script)
        call, document = script.split(", ", 1)
        assert call == f"mlrecoBrowser.receive({row['number']}"
        assert json.loads(document.removesuffix(");\n"))["count"] == 300
    assert written.folder_size == sizes


def test_start_and_end_points_come_from_the_table_of_particles(event, tmp_path):
    columns = [("particle", "<i4"), *((f"{point}_{axis}", "<f4") for point in ("start", "end") for axis in "xyz")]
    particles = np.zeros(2, columns)
    particles["particle"] = [4, 9]
    particles["start_x"] = [1.5, np.nan]
    write_event_browser(MemoryReader([{**event, "particles": particles}]), [0], tmp_path / "page.html")
    points = Page((tmp_path / "page.html").read_text(encoding="utf-8")).document["points"]
    assert points == [
        {"kind": "start", "particle": 4, "at": [1.5, 0.0, 0.0]},
        {"kind": "end", "particle": 4, "at": [0.0, 0.0, 0.0]},
        {"kind": "end", "particle": 9, "at": [0.0, 0.0, 0.0]},
    ]


def test_start_and_end_points_are_measured_where_it_is_asked_for(event, tmp_path):
    voxels = np.stack([np.arange(40), np.full(40, 7), np.full(40, 9)], axis=1)
    event = {name: values[:1] if len(values) == 1 else values[:40] for name, values in event.items()}
    event |= {
        "coordinates": voxels,
        "semantics": np.ones(40, np.int8),
        "fragments": (np.arange(40) >= 36).astype(np.int32),
    }
    event |= {"image_origin": np.zeros((1, 3)), "voxel_size": np.full((1, 3), 0.5), "energies": np.ones(40, np.float32)}
    write_event_browser(MemoryReader([event]), [0], tmp_path / "page.html", measured=True)
    points = Page((tmp_path / "page.html").read_text(encoding="utf-8")).document["points"]
    assert [(point["kind"], point["particle"]) for point in points] == [("start", 0), ("end", 0)]
    ends = sorted(point["at"] for point in points)
    np.testing.assert_allclose(ends, [[0.25, 3.75, 4.75], [17.75, 3.75, 4.75]], atol=0.5)
    del event["voxel_size"]
    write_event_browser(MemoryReader([event]), [0], tmp_path / "page.html", measured=True)
    assert Page((tmp_path / "page.html").read_text(encoding="utf-8")).document["points"] == []


def test_instances_know_their_counterparts(event, tmp_path):
    write_event_browser(MemoryReader([event]), [0], tmp_path / "page.html")
    instances = Page((tmp_path / "page.html").read_text(encoding="utf-8")).document["instances"]["instance_predicted"]
    for one in instances:
        member = event["fragments"] == one["number"]
        others, counts = np.unique(event["instances_true"][member], return_counts=True)
        assert one["voxels"] == member.sum()
        assert one["shared"] == counts.max()
        assert one["other"] == others[counts.argmax()]
        assert one["energy"] == pytest.approx(event["energies"][member].sum(), abs=1e-2)


def test_the_command_shows_outputs_and_raw_files(event, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with HDF5Writer("output.h5", {"classes": CLASSES, "class_scheme": "pilarnet"}) as writer:
        for one in (event, rows_of(event, slice(0, 0)), event):
            writer.append(one)
    assert main(["display", "output.h5", "--events", "0-1"]) == 0
    assert capsys.readouterr().out.startswith(f"2 events of output.h5: {tmp_path}/events.html, ")
    assert [one["count"] for one in Page(Path("events.html").read_text(encoding="utf-8")).events] == [300, 0]
    assert main(["display", "output.h5", "--event", "2"]) == 0
    assert Page(Path("event_2.html").read_text(encoding="utf-8")).document["number"] == 2
    assert main(["display", "sample", "-n", "2", "-o", "raw.html"]) == 0
    raw = Page(Path("raw.html").read_text(encoding="utf-8"))
    assert [one["count"] for one in raw.events] == [row["voxels"] for row in raw.index["rows"]]
    assert {scene["colour"] for scene in raw.document["scenes"]} == {"energy", "class_true", "instance_true"}
    assert "thin_sample.h5, entry 0" in raw.text
    for words, message in (
        (["output.h5", "--events", "7-9"], "no events 7 to 9; the file has 3, counted from 0"),
        (["output.h5", "--event", "3"], "no event 3; the file has 3"),
        (["none.h5"], "none.h5: no such file"),
        (["sample", "-o", str(shipped.sample("sample"))], "is an input of this command"),
    ):
        assert main(["display", *words]) == 2
        assert message in capsys.readouterr().err
