import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from memory_events import CLASSES, MemoryReader, make_event
from plotly.offline import get_plotlyjs

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.post_processing.evaluation.summary import ALL
from mlreco.post_processing.metrics import adjusted_rand_index
from mlreco.visualization import event_page, write_event_display
from mlreco.visualization.encoding import decode
from mlreco.visualization.event_scales import marker_style
from mlreco.visualization.event_summary import clustering_scores, instance_sums

PLOTLY = "plotly.js, cut out here"


class Page(HTMLParser):
    """Elements of a page with their attributes, the text outside scripts, and the scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.scripts = [], "", []
        self.inside = None
        self.feed(text.replace(get_plotlyjs(), PLOTLY))
        data = {attributes["id"]: json.loads(body) for attributes, body in self.scripts if "id" in attributes}
        self.index = data.pop("event-index", None)
        self.events = list(data.values())
        self.document = next(iter(self.events), None)
        self.hidden = {attributes.get("id"): "hidden" in attributes for _, attributes in self.elements}

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            attributes, body = self.scripts[-1]
            self.scripts[-1] = (attributes, body + data)
        elif self.inside != "style":
            self.text += data + " "

    def column(self, name):
        return decode(self.document["voxels"][name])


def page_of(event, **info):
    return Page(event_page(MemoryReader([event], **info), 0))


def without(event, *names):
    return {name: values for name, values in event.items() if name not in names}


def rows_of(event, selected):
    n_voxels = len(event["coordinates"])
    return {name: values[selected] if len(values) == n_voxels else values for name, values in event.items()}


def test_every_voxel_stands_in_the_page_once_with_all_that_is_known_of_it(event):
    page = page_of(event)
    coordinates = np.stack([page.column(axis) for axis in "xyz"], axis=1)
    assert np.array_equal(coordinates, event["coordinates"])
    assert np.array_equal(page.column("energy"), event["energies"])
    assert np.array_equal(page.column("class_true"), event["semantics_true"])
    assert np.array_equal(page.column("class_predicted"), event["semantics_predicted"])
    for column, product in (("instance_true", "instances_true"), ("instance_predicted", "fragments")):
        numbers = np.array([entry["number"] for entry in page.document["instances"][column]] + [-1])
        assert np.array_equal(numbers[page.column(column)], event[product])
    embeddings = np.stack([page.column(f"e{i}") for i in (1, 2, 3)], axis=1)
    assert np.allclose(embeddings, event["embeddings"], atol=1e-4)
    assert np.allclose(page.column("margins"), event["margins"], atol=1e-4)


def test_matched_instances_have_one_colour_and_pieces_another(event):
    instances = page_of(event).document["instances"]
    true = {entry["number"]: entry["colour"] for entry in instances["instance_true"]}
    predicted = {entry["number"]: entry["colour"] for entry in instances["instance_predicted"]}
    assert all(predicted[number + 10] == colour for number, colour in true.items())
    assert predicted[99] not in true.values()


def test_the_page_fetches_nothing(reader):
    page = Page(event_page(reader, 0))
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "img", "iframe", "object", "embed"})
    assert not any({"src", "href"} & attributes.keys() for _, attributes in page.elements)
    ours = [body for _, body in page.scripts if body != PLOTLY]
    assert len(ours) == len(page.scripts) - 1
    assert not re.search(r"https?:|@import|url\(", " ".join(ours))


def test_scenes_of_a_full_event_share_ranges_in_cm(event):
    document = page_of(event).document
    assert [(scene["space"], scene["colour"]) for scene in document["scenes"]] == [
        ("image", "energy"),
        ("image", "class_true"),
        ("image", "class_predicted"),
        ("image", "instance_true"),
        ("embedding", "instance_true"),
        ("image", "instance_predicted"),
        ("embedding", "instance_predicted"),
    ]
    image = document["spaces"]["image"]
    assert image["titles"] == ["x [cm]", "y [cm]", "z [cm]"]
    positions = -76.8 + 0.3 * (event["coordinates"] + 0.5)
    low, high = np.array(image["ranges"]).T
    assert (positions > low).all()
    assert (positions < high).all()
    extents = high - low
    assert extents.min() >= 0.25 * extents.max() - 1e-6


def test_positions_without_a_voxel_size_are_in_voxels(event):
    document = page_of(without(event, "voxel_size", "image_origin")).document
    assert document["spaces"]["image"]["unit"] == "voxels"


def test_header_names_event_source_and_counts(reader, event):
    page = Page(event_page(reader, 0))
    assert "Run 7, subrun 3, event 0" in page.text
    assert "sample.h5, entry 0" in page.text
    assert f"{event['energies'].sum():,.1f} MeV" in page.text
    counts = r"voxels\s+300\b.*true instances of 10 voxels and more\s+6\b.*predicted instances there\s+7\b"
    assert re.search(counts, page.text, re.DOTALL)
    row = clustering_scores(event, len(CLASSES))[ALL]
    assert (row["true_instances"], row["pred_instances"]) == (6, 7)


def test_metrics_of_each_class_are_in_the_page(event):
    scores = clustering_scores(event, len(CLASSES))
    for number in range(5):
        voxels = event["semantics_true"] == number
        expected = adjusted_rand_index(event["instances_true"][voxels], event["fragments"][voxels])
        assert scores[number]["ari"] == pytest.approx(expected)
        assert f"{expected:.3f}" in page_of(event).text


def test_real_data_without_truth(event):
    page = page_of(without(event, "semantics_true", "instances_true"))
    colours = [scene["colour"] for scene in page.document["scenes"]]
    assert colours == ["energy", "class_predicted", "instance_predicted", "instance_predicted"]
    assert "ARI" not in page.text


def test_without_embeddings_there_is_no_embedding_scene(event):
    document = page_of(without(event, "embeddings", "margins", "seediness")).document
    assert {scene["space"] for scene in document["scenes"]} == {"image"}


def test_coordinates_and_energies_are_enough(event):
    bare = {name: event[name] for name in ("coordinates", "energies")}
    page = page_of(bare)
    assert [scene["colour"] for scene in page.document["scenes"]] == ["energy"]
    assert "Event 0 of the file" in page.text


def test_classes_that_were_clustered_stand_in_for_true_and_predicted_ones(event):
    page = page_of(without(event, "semantics_true", "semantics_predicted", "instances_true"))
    assert page.document["scenes"][1]["colour"] == "class_used"


def test_an_empty_event_says_so(event):
    page = page_of(rows_of(event, slice(0, 0)))
    assert "This event has no voxels" in page.text
    assert (page.hidden["message"], page.hidden["panels"]) == (False, True)
    assert page.document["count"] == 0
    full = page_of(event)
    assert (full.hidden["message"], full.hidden["panels"]) == (True, False)


def test_one_voxel_has_finite_ranges(event):
    document = page_of(rows_of(event, slice(4, 5))).document
    ranges = np.array([space["ranges"] for space in document["spaces"].values()])
    assert (ranges[..., 1] > ranges[..., 0]).all()
    assert document["energy_scale"]["high"] > document["energy_scale"]["low"]
    assert document["count"] == 1


@pytest.mark.parametrize("value", [np.nan, -1.0, 0.0, np.inf])
def test_odd_energies_are_shown_as_they_are(event, value):
    event["energies"][:3] = value
    page = page_of(event)
    assert np.array_equal(page.column("energy"), event["energies"], equal_nan=True)
    event["energies"][:] = value
    assert np.isfinite(page_of(event).document["energy_scale"]["low"])


def test_three_dimensions_of_an_embedding_are_shown(event):
    expected = page_of(event).document["spaces"]["embedding"]
    event["embeddings"] = np.hstack([event["embeddings"], np.full((len(event["embeddings"]), 2), 9, np.float32)])
    assert page_of(event).document["spaces"]["embedding"] == expected


def test_embeddings_that_are_not_finite_do_not_spoil_the_ranges(event):
    event["embeddings"][0] = np.nan
    document = page_of(event).document
    assert np.isfinite(document["spaces"]["embedding"]["ranges"]).all()


def test_text_from_the_file_is_escaped(event):
    evil = "<script>alert('&')</script>"
    names = [evil, *CLASSES[1:]]
    text = event_page(MemoryReader([event], classes=names, source_files=json.dumps([f"/data/{evil}<b>"])), 0)
    assert evil not in text
    page = Page(text)
    assert page.document["classes"][0]["name"] == evil
    assert evil in page.text


def test_a_large_event_makes_a_page_of_reasonable_size():
    large = make_event(n_voxels=150_000, n_instances=400)
    text = event_page(MemoryReader([large]), 0)
    assert len(text) - len(get_plotlyjs()) < 6_500_000
    assert len({entry["colour"] for entry in Page(text).document["instances"]["instance_true"]}) == 400


def test_markers_shrink_and_become_squares_as_voxels_grow_in_number():
    styles = [marker_style(n) for n in (0, 1, 3000, 17_000, 150_000)]
    sizes = [style["size"] for style in styles]
    assert sizes == sorted(sizes, reverse=True)
    assert 1 < sizes[-1] < sizes[0] < 6
    assert [style["symbol"] for style in styles] == 4 * ["circle"] + ["square"]


def test_events_of_an_output_file(tmp_path):
    events = [make_event(number=0), rows_of(make_event(), slice(0, 0)), make_event(number=2, seed=1)]
    path = tmp_path / "output.h5"
    with HDF5Writer(path, {"classes": CLASSES, "class_scheme": "pilarnet", "source_files": '["/a/b.h5"]'}) as writer:
        for event in events:
            writer.append(event)
    with HDF5Reader(path) as reader:
        assert Page(event_page(reader, 1)).document["count"] == 0
        page = Page(event_page(reader, 2))
    assert "event 2" in page.text
    assert "b.h5, entry 2" in page.text
    assert np.array_equal(page.column("x"), events[2]["coordinates"][:, 0])


def test_instance_sums_against_a_loop(event):
    semantics = np.where(np.arange(300) % 3, event["semantics"], 2)
    sums = instance_sums(event["fragments"], semantics, event["energies"])
    for i, number in enumerate(sums.numbers):
        member = event["fragments"] == number
        assert sums.voxels[i] == member.sum()
        assert sums.energies[i] == pytest.approx(event["energies"][member].sum(dtype=float))
        assert sums.classes[i] == np.bincount(semantics[member]).argmax()
    assert sorted(sums.numbers) == sorted(set(event["fragments"].tolist()) - {-1})


def test_the_page_is_written_whole(reader, tmp_path):
    path = tmp_path / "event.html"
    write_event_display(reader, 0, path)
    assert path.read_text(encoding="utf-8") == event_page(reader, 0)
    assert [file.name for file in tmp_path.iterdir()] == ["event.html"]


@pytest.mark.parametrize("number", [-1, 1])
def test_an_event_that_is_not_there(reader, number, tmp_path):
    with pytest.raises(UserError, match=f"no event {number}.*1 event"):
        write_event_display(reader, number, tmp_path / "event.html")
    assert not list(tmp_path.iterdir())


def test_a_file_without_coordinates(event):
    with pytest.raises(UserError, match="no product 'coordinates'"):
        page_of(without(event, "coordinates"))


def test_a_folder_that_is_not_there(reader, tmp_path):
    with pytest.raises(UserError, match="missing"):
        write_event_display(reader, 0, tmp_path / "missing" / "event.html")
