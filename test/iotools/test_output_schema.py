"""Output files that are no output files of ours any more: one line that names file and key, from every reader."""

import shutil

import h5py
import numpy as np
import pytest
from test_output_as_input import make_event

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer, OutputEventsReader
from mlreco.iotools.output.products import check_values
from mlreco.iotools.skipped import Skipped
from mlreco.semantics import PILARNET

INFO = {
    "class_scheme": "pilarnet",
    "classes": list(PILARNET.classes),
    "cfg": "a: 1\n",
    "thresholds": {"MIP": {"seed": 1}},
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("sound") / "sound.h5", np.random.default_rng(0)
    with HDF5Writer(path, {**INFO, "source_files": '["a.h5"]'}) as writer:
        for count in (30, 0, 25):
            writer.append(make_event(rng, count))
        writer.list_skipped([Skipped("a.h5", 3, "damaged")])
    return path


@pytest.fixture
def changed(sound, tmp_path):
    """A copy of the file without its digest, which would notice most of what the tests change."""
    path = tmp_path / "changed.h5"
    shutil.copy(sound, path)
    with h5py.File(path, "a") as file:
        del file["info"].attrs["digest"]
    return path


def replace(file, name, values, **options):
    del file[name]
    file.create_dataset(name, data=values, **options)


def refused(path, message):
    with pytest.raises(UserError, match=rf"changed\.h5: .*{message}") as told, HDF5Reader(path) as reader:
        for index in range(len(reader)):
            reader.event(index)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("classes", 5, "/info classes"),
        ("classes", "HIP", "/info classes"),
        ("classes", [1, 2], "/info classes"),
        ("classes", ["HIP"], "classes are not those of class_scheme 'pilarnet'"),
        ("classes", h5py.Empty("f4"), None),
        ("class_scheme", "other", "class_scheme 'other' is not known"),
        ("class_scheme", 3.5, "/info class_scheme"),
        ("cfg", 7, "/info cfg"),
        ("thresholds", "{", "/info thresholds: expected numbers by class as JSON"),
        ("thresholds", '{"MIP": 3}', "/info thresholds"),
        ("thresholds", "[" * 100_000, "/info thresholds"),
        ("source_files", '{"a": 1}', "/info source_files"),
        ("source_files", "x", "/info source_files"),
        ("complete", "yes", "/info complete"),
        ("complete", False, "the output file is incomplete"),
        ("events_in", -1, "/info events_in"),
        ("format", 5, "not an output file of mlreco"),
        ("post_processors", 5, "/info post_processors"),
        ("anything", [1.5, 2.5], None),
    ],
)
def test_attributes(changed, name, value, message):
    with h5py.File(changed, "a") as file:
        file["info"].attrs[name] = value
    if message is None:
        assert len(HDF5Reader(changed)) == 3
    else:
        refused(changed, message)


@pytest.mark.parametrize(
    ("product", "offsets", "message"),
    [
        ("energies", [0, 31, 30, 55], "offsets that do not rise from 0"),
        ("energies", [1, 30, 30, 55], "offsets that do not rise from 0"),
        ("energies", [0, 30, 30, 54], "offsets that do not rise from 0"),
        ("energies", [0, 30, 30, 56], "offsets that do not rise from 0"),
        ("energies", [0, 29, 30, 55], "'energies' has 29 rows in event 0 and not those of 'coordinates', 30"),
        ("energies", [0, 30, 55], "'energies' has 2 events where there are 3"),
        ("energies", [0, 30, 30, 30, 55], "'energies' has 4 events where there are 3"),
        ("energies", [0.0, 30, 30, 55], "offsets that are float64"),
        ("energies", [[0, 30, 30, 55]], "offsets that are int64"),
        ("energies", [], "offsets that are"),
        ("event_id", [0, 2, 2, 3], "'event_id' has 2 rows in event 0 and not one an event, 1"),
    ],
)
def test_offsets(changed, product, offsets, message):
    with h5py.File(changed, "a") as file:
        replace(file, f"products/{product}/event_offsets", np.array(offsets))
    refused(changed, message)


@pytest.mark.parametrize(
    ("product", "change", "message"),
    [
        ("energies", lambda rows: rows.astype(np.int32), "holds int32"),
        ("energies", lambda rows: rows[:, None], r"rows \(1,\); rows \(\) of floats"),
        ("energies", lambda rows: rows.astype("S5"), r"holds \|S5 and no numbers"),
        ("coordinates", lambda rows: rows[:, :2], r"holds int32 with rows \(2,\)"),
        ("coordinates", lambda rows: rows.astype(np.float32), "whole numbers are needed"),
        ("coordinates", lambda rows: rows - 100, "'coordinates' cannot be read: holds -"),
        ("energies", lambda rows: rows * np.nan, "'energies' cannot be read: holds nan"),
        ("energies", lambda rows: -rows, "'energies' cannot be read: holds -"),
        ("semantics", lambda rows: rows.astype(np.int16) + 500, "'semantics' cannot be read: holds 50"),
        ("fragments", lambda rows: rows - 5, "'fragments' cannot be read: holds -"),
        ("voxel_size", lambda rows: rows * np.inf, "'voxel_size' cannot be read: holds inf"),
    ],
)
def test_values(changed, product, change, message):
    with h5py.File(changed, "a") as file:
        name = f"products/{product}/values"
        replace(file, name, change(file[name][()]), chunks=True)
    refused(changed, message)


@pytest.mark.parametrize("what", ["products/energies/values", "products/energies/event_offsets", "events", "skipped"])
def test_something_else_where_a_table_should_be(changed, what):
    with h5py.File(changed, "a") as file:
        del file[what]
        file.create_group(what)
    refused(changed, "is no table")


def test_a_table_of_skipped_events_of_another_type(changed):
    with h5py.File(changed, "a") as file:
        replace(file, "skipped", np.arange(3))
    refused(changed, "table 'skipped' does not hold a file, an entry and a reason")


def test_columns_that_do_not_fit(changed):
    with h5py.File(changed, "a") as file:
        file["products/voxel_size"].attrs["columns"] = ["x", "y"]
    refused(changed, "product 'voxel_size' has 2 names of columns")


def test_products_of_spine_that_are_no_arrays_are_left_out(changed):
    with h5py.File(changed, "a") as file:
        file.create_group("products/objects").attrs["kind"] = "objects"
    assert "objects" not in HDF5Reader(changed).products


@pytest.mark.parametrize("name", ["cfg", "thresholds", "skipped"])
def test_a_changed_text_is_noticed(sound, tmp_path, name):
    path = tmp_path / "changed.h5"
    shutil.copy(sound, path)
    with h5py.File(path, "a") as file:
        if name == "skipped":
            rows = file[name][()]
            rows["entry"] += 1
            file[name][...] = rows
        else:
            file["info"].attrs[name] = {"cfg": "a: 2\n", "thresholds": '{"MIP": {"seed": 0.5}}'}[name]
    refused(path, "its texts .* are not those that were written")


@pytest.mark.parametrize("dimensions", [2, 3, 6])
def test_an_embedding_has_three_dimensions_or_more(tmp_path, dimensions):
    path, rng = tmp_path / "out.h5", np.random.default_rng(0)
    event = make_event(rng, 40)
    event["embeddings"] = rng.normal(size=(40, dimensions)).astype(np.float32)
    with HDF5Writer(path, INFO) as writer:
        if dimensions < 3:
            with pytest.raises(ValueError, match=r"embeddings.*rows \('3 or more',\) of floats are needed"):
                writer.append(event)
            return
        writer.append(event)
    assert np.array_equal(HDF5Reader(path).event(0)["embeddings"], event["embeddings"])


@pytest.mark.parametrize("largest", [3, (1 << 20) - 1, 1 << 20, 2**31 - 1])
def test_sets_are_as_many_as_there_are_instances(tmp_path, largest):
    path, rng = tmp_path / "out.h5", np.random.default_rng(0)
    event = make_event(rng, 40)
    event["instances_true"] = np.where(event["instances_true"] == event["instances_true"].max(), largest, 1).astype(
        "i4"
    )
    with HDF5Writer(path, INFO) as writer:
        writer.append(event)
    sets = OutputEventsReader(path).cluster3d(0, "pcluster")
    assert sets.num_sets == (largest + 1 if largest < 1 << 20 else 2)
    energies = {number: event["energies"][event["instances_true"] == number].sum() for number in (1, largest)}
    found = [sets.values[sets.sets == number].sum() for number in np.unique(sets.sets)]
    np.testing.assert_allclose(found, list(energies.values()), rtol=1e-6)


@pytest.mark.parametrize(("product", "value"), [("embeddings", np.nan), ("energies", np.inf), ("seediness", np.nan)])
def test_numbers_that_make_no_sense_are_not_written(tmp_path, product, value):
    event = make_event(np.random.default_rng(0), 10)
    event[product] = np.full_like(event.get(product, event["energies"]), value)
    with (
        pytest.raises(UserError, match=rf"out\.h5: event 1: product '{product}' holds {value}"),
        HDF5Writer(tmp_path / "out.h5", INFO) as writer,
    ):
        writer.append({**event, product: np.zeros_like(event[product])})
        writer.append(event)
    assert not list(tmp_path.iterdir())


def content(path):
    with HDF5Reader(path) as reader:
        return [reader[index] for index in range(len(reader))], reader.info, reader.columns, reader.skipped


def test_a_flipped_bit_is_noticed_or_changes_nothing(sound, tmp_path):
    whole, expected = sound.read_bytes(), content(sound)
    rng, noticed = np.random.default_rng(1), 0
    heap = range(whole.index(b"GCOL"), whole.index(b"GCOL") + 1500)  # where a text has no checksum of the library
    places = [*rng.integers(len(whole), size=150).tolist(), *rng.choice(heap, 150).tolist()]
    for place, bit in zip(places, rng.integers(8, size=len(places)).tolist(), strict=True):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        (tmp_path / "flipped.h5").write_bytes(flipped)
        try:
            events, *rest = content(tmp_path / "flipped.h5")
        except UserError:
            noticed += 1
            continue
        assert rest == list(expected[1:]), place
        for event, other in zip(events, expected[0], strict=True):
            assert event.keys() == other.keys(), place
            assert all(np.array_equal(event[name], other[name]) for name in event), place
    assert noticed > 50


def test_a_product_that_is_no_longer_called_an_array_is_missed(changed):
    with h5py.File(changed, "a") as file:
        file["products/energies"].attrs["kind"] = "arrax"
    refused(changed, "product 'energies' is missing or no longer called an array")


@pytest.mark.parametrize("edge", [0.0, -0.3, np.nan, np.inf])
def test_voxels_have_edges(edge):
    check_values("voxel_size", np.full((1, 3), 0.3, np.float32))
    with pytest.raises(ValueError, match="holds"):
        check_values("voxel_size", np.array([[0.3, edge, 0.3]], np.float32))
