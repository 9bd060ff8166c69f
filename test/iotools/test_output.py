import json
import pickle
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer


def make_event(rng, rows):
    return {
        "coordinates": rng.integers(0, 100, (rows, 3)).astype(np.int32),
        "energies": rng.random(rows).astype(np.float32),
        "semantics": rng.integers(-1, 5, rows).astype(np.int8),
        "event_id": np.array([[1, 2, rows]], dtype=np.int64),
    }


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(0, 30), max_size=8), flush=st.booleans())
def test_round_trip(tmp_path_factory, counts, flush):
    path = tmp_path_factory.mktemp("out") / "out.h5"
    rng = np.random.default_rng(len(counts))
    events = [make_event(rng, rows) for rows in counts]
    with HDF5Writer(path, {"classes": ["HIP", "MIP"], "thresholds": {"HIP": {"seed": 0.5}}}) as writer:
        for event in events:
            writer.append(event)
            if flush:
                writer.flush()
    with HDF5Reader(path) as reader:
        assert len(reader) == len(events)
        for expected, found in zip(events, reader, strict=True):
            assert expected.keys() == found.keys()
            for name in expected:
                assert found[name].dtype == expected[name].dtype
                np.testing.assert_array_equal(found[name], expected[name])
        for name, (values, offsets) in reader.range(0, len(events)).items():
            assert offsets.tolist() == np.cumsum([0, *(len(event[name]) for event in events)]).tolist()
            np.testing.assert_array_equal(values, np.concatenate([event[name] for event in events]))


def test_the_file_does_not_depend_on_when_it_is_written(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    events = [make_event(rng, rows) for rows in (5, 0, 9000, 3, 7000, 1)]
    contents, flushed = [], []
    flush = HDF5Writer.flush
    monkeypatch.setattr(HDF5Writer, "flush", lambda writer: flushed.append(writer.path.name) or flush(writer))
    for most in (0, 100_000, 1 << 40):
        monkeypatch.setattr("mlreco.iotools.output.writer._BUFFERED_BYTES", most)
        path = tmp_path / f"{most}.h5"
        with HDF5Writer(path, {"classes": ["HIP"]}) as writer:
            for event in events:
                writer.append(event)
        names: list[str] = []
        with h5py.File(path) as file:
            file.visit(names.append)
            tables = [file[name] for name in names if isinstance(file[name], h5py.Dataset) and name != "skipped"]
            contents.append({table.name: (table[()].tobytes(), table.dtype, table.chunks) for table in tables})
    assert contents[0] == contents[1] == contents[2]
    assert [flushed.count(f"{most}.h5") for most in (0, 100_000, 1 << 40)] == [7, 3, 1]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=4), min_size=1, max_size=4), st.booleans())
def test_batches_are_written_as_events_one_by_one(tmp_path_factory, batches, mixed):
    """Also where the types of the events of a batch differ, so that they cannot be joined."""
    folder, rng = tmp_path_factory.mktemp("out"), np.random.default_rng(0)
    made = [[make_event(rng, rows) for rows in counts] for counts in batches]
    if mixed:
        made[-1][-1]["energies"] = made[-1][-1]["energies"].astype(np.float64)
    contents = []
    for path, append in (
        (folder / "batches.h5", lambda writer, batch: writer.append_batch(batch)),
        (folder / "events.h5", lambda writer, batch: [writer.append(event) for event in batch]),
    ):
        with HDF5Writer(path, {"classes": ["HIP"], "date": "today"}) as writer:
            for batch in made:
                append(writer, batch)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("before", [0, 2])
def test_an_error_in_a_batch_names_its_event(tmp_path, before):
    rng = np.random.default_rng(0)
    batch = [make_event(rng, rows) for rows in (3, 4, 5)]
    batch[1]["energies"][2] = np.nan
    path = tmp_path / "out.h5"
    with pytest.raises(UserError, match=f"event {before + 1}: product 'energies' holds nan"), HDF5Writer(path, {}) as w:
        for rows in range(before):
            w.append(make_event(rng, rows))
        w.append_batch(batch)
    with pytest.raises(ValueError, match="product 'voxels' must have rows"), HDF5Writer(path, {}) as w:
        w.append_batch([{**event, "voxels": np.array(len(event["energies"]))} for event in batch])
    assert not path.exists()


def test_layout_and_attributes(tmp_path):
    path = tmp_path / "out.h5"
    long_text = "key: value\n" * 20000
    info = {"cfg": long_text, "classes": ["a", "b"], "thresholds": {"a": {"seed": 0.1}}}
    with HDF5Writer(path, {**info, "source_files": ["x.h5"]}, {"times": ["read", "forward"]}) as writer:
        for rows in (3, 0):
            writer.append({"energies": np.ones(rows, np.float32), "times": np.zeros((1, 2), np.float32)})
        assert not path.exists()
    with h5py.File(path) as file:
        info = file["info"].attrs
        assert (info["format"], info["format_version"], bool(info["complete"])) == ("spine_hdf5", 2, True)
        assert file["events"][()].tolist() == [0, 1]
        product = file["products/energies"]
        assert product.attrs["kind"] == "array"
        assert product["event_offsets"][()].tolist() == [0, 3, 3]
        assert product["values"].compression == "gzip" and product["values"].shuffle
        assert list(file["products/times"].attrs["columns"]) == ["read", "forward"]
    reader = HDF5Reader(path)
    assert reader.info["cfg"] == long_text
    assert reader.info["classes"] == ["a", "b"]
    assert json.loads(reader.info["thresholds"]) == {"a": {"seed": 0.1}}
    assert reader.columns == {"times": ("read", "forward")}
    copy = pickle.loads(pickle.dumps(reader))
    assert len(copy[-1]["energies"]) == 0
    with pytest.raises(IndexError):
        reader[2]
    with pytest.raises(UserError, match="no product 'energy'; did you mean 'energies'"):
        reader.range(0, 1, ["energy"])


def test_error_inside_leaves_nothing_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "out.h5"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), HDF5Writer(path, {}) as writer:
        writer.append({"a": np.zeros(3)})
        raise ZeroDivisionError
    assert [file.name for file in tmp_path.iterdir()] == ["out.h5"]
    assert path.read_text() == "old"


def test_products_may_not_change(tmp_path):
    with pytest.raises(ValueError, match="has products"), HDF5Writer(tmp_path / "x.h5", {}) as writer:
        writer.append({"a": np.zeros(3)})
        writer.append({"b": np.zeros(3)})
    with pytest.raises(ValueError, match="does not fit"), HDF5Writer(tmp_path / "x.h5", {}) as writer:
        writer.append({"a": np.zeros(3)})
        writer.append({"a": np.zeros((3, 2))})
    assert not list(tmp_path.iterdir())


def test_missing_folder(tmp_path):
    missing = pytest.raises(UserError, match=r"cannot write .*out.h5: the folder does not exist")
    with missing, HDF5Writer(tmp_path / "no" / "out.h5", {}):
        pass


FULL_DISK = """
import sys, resource
import numpy as np
from mlreco.errors import UserError
from mlreco.iotools import HDF5Writer
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
rng = np.random.default_rng(0)
try:
    with HDF5Writer(sys.argv[1], {}) as writer:
        for _ in range(4):
            writer.append({"noise": rng.random(30_000)})
            if sys.argv[2] == "early":
                writer.flush()
except UserError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limit here")
@pytest.mark.parametrize("moment", ["early", "late"])
def test_no_room_left(tmp_path, moment):
    path = tmp_path / "out.h5"
    run = subprocess.run([sys.executable, "-c", FULL_DISK, path, moment], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == f"cannot write {path}: the file grows past the size limit of this process\n"
    assert not list(tmp_path.iterdir())


def test_incomplete_file(tmp_path):
    path = tmp_path / "out.h5"
    with HDF5Writer(path, {}) as writer:
        writer.append({"a": np.zeros(3)})
    with h5py.File(path, "a") as file:
        file["info"].attrs["complete"] = False
    with pytest.raises(UserError, match="incomplete"):
        HDF5Reader(path)
    assert len(HDF5Reader(path, allow_incomplete=True)) == 1


def test_other_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        HDF5Reader(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("Data")
        file.create_group("Events")
    with pytest.raises(UserError, match="seems to be LArCV3"):
        HDF5Reader(tmp_path / "x.h5")
    (tmp_path / "y.h5").write_text("model: chain\n")
    with pytest.raises(UserError, match="seems to be a text file"):
        HDF5Reader(tmp_path / "y.h5")
