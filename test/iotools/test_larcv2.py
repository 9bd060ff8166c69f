import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import event_files
from mlreco.errors import UserError
from mlreco.iotools import LArCV3Reader, LArCVDataset, Reader, open_reader
from mlreco.iotools.conversion import convert
from mlreco.iotools.larcv2 import LArCV2Reader
from mlreco.iotools.larcv2.layout import particle_field
from mlreco.iotools.larcv2.streams import StreamError, strings, vectors, voxel_sets
from mlreco.iotools.larcv2.voxel_order import to_c_order
from mlreco.iotools.parsers.particles import group_numbers, interaction_numbers

uproot = pytest.importorskip("uproot")

GENUINE = Path(__file__).parent / "genuine"
FILES = ("larcv2.root", "larcv2_2018.root")
MEMBERWISE = 0x400A


def encode_sets(sets, version=MEMBERWISE, class_version=0):
    """What ROOT writes for a vector of voxel sets, memberwise."""
    body = struct.pack(">Hh", version, class_version)
    body += struct.pack(">I", 0x7A384FDA) if class_version <= 0 else b""
    for voxels in sets:
        body += struct.pack(">i", len(voxels))
        body += b"".join(struct.pack(">Q", number) for number, _ in voxels)
        body += b"".join(struct.pack(">f", value) for _, value in voxels)
    return struct.pack(">I", 0x40000000 | len(body)) + body


def as_array(stream):
    return np.frombuffer(stream, np.uint8)


voxel = st.tuples(st.integers(0, 2**64 - 1), st.floats(width=32, allow_nan=False))


@settings(max_examples=100, deadline=None)
@given(sets=st.lists(st.lists(voxel, max_size=6), max_size=6), class_version=st.sampled_from([-1, 0, 1, 3]))
def test_memberwise_stream(sets, class_version):
    for version in (0x400A, 0x4009):
        counts, ids, values = voxel_sets(as_array(encode_sets(sets, version, class_version)))
        assert counts.tolist() == [len(voxels) for voxels in sets]
        assert ids.tolist() == [number for voxels in sets for number, _ in voxels]
        assert values.tolist() == [value for voxels in sets for _, value in voxels]


@pytest.mark.parametrize("ahead", [0, 1 << 30])
def test_a_leaf_gives_the_same_entries_however_far_it_is_read_ahead(tmp_path, monkeypatch, ahead):
    from mlreco.iotools.larcv2 import leaves

    rng = np.random.default_rng(0)
    baskets = [rng.integers(0, 1 << 60, count).astype(np.int64) for count in (3, 1, 5, 4, 2, 6)]
    with uproot.recreate(tmp_path / "x.root") as file:
        file.mktree("tree", {"x": np.int64})
        for basket in baskets:
            file["tree"].extend({"x": basket})
    expected = np.concatenate(baskets)
    monkeypatch.setattr(leaves, "_READ_AHEAD", ahead)
    with uproot.open(tmp_path / "x.root") as file:
        branch = file["tree"]["x"]
        assert branch.num_baskets == len(baskets)
        calls = []
        read = leaves.Leaf._read_baskets
        monkeypatch.setattr(leaves.Leaf, "_read_baskets", lambda leaf, *ends: calls.append(ends) or read(leaf, *ends))
        leaf = leaves.Leaf(branch)
        assert [leaf[index] for index in range(21)] == expected.tolist()
        assert calls == ([(0, 1), (1, 6)] if ahead else [(number, number + 1) for number in range(6)])
        order = rng.permutation(21)
        assert [leaf[index] for index in order] == expected[order].tolist()
        assert leaf.all().tolist() == expected.tolist()


def test_streams_that_are_refused():
    stream = encode_sets([[(1, 2.0)], [(3, 4.0), (5, 6.0)]])
    with pytest.raises(StreamError, match="object by object"):
        voxel_sets(as_array(encode_sets([[(1, 2.0)]], version=10)))
    for length in range(1, len(stream)):
        with pytest.raises(StreamError):
            voxel_sets(as_array(stream[:length]))
        header = struct.pack(">I", 0x40000000 | (length - 4)) if length > 4 else stream[:4]
        complete_sets = (12, 28)
        if length not in complete_sets:
            with pytest.raises(StreamError):
                voxel_sets(as_array(header + stream[4:length]))


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_strings(texts):
    body = struct.pack(">H", 10)
    for text in texts:
        body += (bytes([len(text)]) if len(text) < 255 else b"\xff" + struct.pack(">I", len(text))) + text
    stream = as_array(struct.pack(">I", 0x40000000 | len(body)) + body)
    assert strings(stream, len(texts)) == texts
    with pytest.raises(StreamError):
        strings(stream, len(texts) + 1)


def test_vectors():
    body = struct.pack(">H", 10) + struct.pack(">iQQ", 2, 7, 2**40) + struct.pack(">i", 0)
    stream = as_array(struct.pack(">I", 0x40000000 | len(body)) + body)
    assert [row.tolist() for row in vectors(stream, 2, np.dtype(">u8"))] == [[7, 2**40], []]
    for count in (1, 3):
        with pytest.raises(StreamError):
            vectors(stream, count, np.dtype(">u8"))


@pytest.mark.parametrize("name", FILES)
def test_equals_the_events_that_root_was_given(name):
    reader, expected = open_reader(GENUINE / name), LArCV3Reader(GENUINE / "events.h5")
    assert isinstance(reader, Reader) and reader.format_name == "LArCV2"
    assert reader.products() == expected.products()
    for index in (2, 0, 1, 4, 3):
        assert reader.event_id(index).tolist() == expected.event_id(index).tolist()
        for producer in ("pcluster", "pcluster_semantics"):
            found, image = reader.sparse3d(index, producer), expected.sparse3d(index, producer)
            assert found.columns == (producer,)
            np.testing.assert_array_equal(found.coordinates, image.coordinates)
            np.testing.assert_array_equal(found.features, image.features)
            assert found.meta.shape == image.meta.shape == (9, 7, 5)
            np.testing.assert_allclose(found.meta.origin, image.meta.origin)
            np.testing.assert_allclose(found.meta.voxel_size, image.meta.voxel_size)
        found, sets = reader.cluster3d(index, "pcluster"), expected.cluster3d(index, "pcluster")
        assert found.num_sets == sets.num_sets
        for field in ("coordinates", "values", "sets"):
            np.testing.assert_array_equal(getattr(found, field), getattr(sets, field))
        found, particles = reader.particles(index, "pcluster"), expected.particles(index, "pcluster")
        for field in particles.dtype.names:
            assert found[field].tolist() == particles[field].tolist(), field


def test_members_of_today_and_of_2018():
    today, old = (open_reader(GENUINE / name).particles(0, "pcluster") for name in FILES)
    numbers = np.arange(len(today))
    assert (today.dtype["id"], old.dtype["id"]) == (np.uint64, np.uint16)
    assert today["group_id"].tolist() == (7 * numbers).tolist() == group_numbers(today).tolist()
    assert today["interaction_id"].tolist() == (5 * numbers + 1).tolist() == interaction_numbers(today).tolist()
    assert today["parent_id"].tolist() == (numbers // 2).tolist()
    assert today["num_voxels"].tolist() == (numbers + 3).tolist()
    assert today["children_id"].tolist() == [[i, i + 1] for i in numbers]
    assert not {"group_id", "interaction_id", "parent_id", "children_id"} & set(old.dtype.names)
    assert group_numbers(old).tolist() == old["mcst_index"].tolist()


def test_a_dataset_of_both_generations(tmp_path):
    from io_samples import SCHEMA

    files = [GENUINE / "larcv2.root", GENUINE / "events.h5"]
    dataset = LArCVDataset(files, SCHEMA)
    assert len(dataset) == 10
    for index in range(5):
        one, other = dataset[index], dataset[index + 5]
        for key in ("input_data", "segment_label"):
            np.testing.assert_array_equal(one[key].features, other[key].features)
        for column in ("value", "cluster", "semantic", "primary"):
            np.testing.assert_array_equal(one["cluster_label"].column(column), other["cluster_label"].column(column))
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[3]["input_data"].features, dataset[3]["input_data"].features)


@settings(max_examples=50, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 9)] * 3), seed=st.integers(0, 99))
def test_order_of_voxel_numbers(shape, seed):
    x, y, z = (np.random.default_rng(seed).integers(0, size, 20) for size in shape)
    ids = np.ravel_multi_index((x, y, z), shape, order="F")
    np.testing.assert_array_equal(to_c_order(ids, shape), np.ravel_multi_index((x, y, z), shape))


def test_names_of_fields():
    assert particle_field("_part_v._id") == particle_field("_part_v._index") == "id"
    assert particle_field("_part_v._end_pt._x") == "end_pt_x"
    assert particle_field("_part_v._bb3d._p1.x") == "bb3d_p1_x"


def write_tree(file, name, arrays):
    file.mktree(name, {leaf: array.dtype for leaf, array in arrays.items()}).extend(arrays)


def test_errors_of_the_user(tmp_path, monkeypatch):
    reader = open_reader(GENUINE / "larcv2.root")
    with pytest.raises(UserError, match="no product 'sparse3d_pclusters'; did you mean 'sparse3d_pcluster'"):
        reader.sparse3d(0, "pclusters")
    with pytest.raises(IndexError):
        reader.sparse3d(5, "pcluster")
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        write_tree(file, "events", {"energy": np.arange(3.0)})
    with pytest.raises(UserError, match=r"x\.root: a ROOT file without trees of LArCV2.*; it holds events"):
        open_reader(path)
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(UserError, match=r"needs the package 'uproot': pip install 'mlreco\[root\]'"):
        open_reader(GENUINE / "larcv2.root")


def write_ids(path, trees):
    with uproot.recreate(path) as file:
        for name, ids in trees.items():
            write_tree(file, f"{name}_tree", {leaf: np.asarray(ids) for leaf in ("_run", "_subrun", "_event")})
    return path


@pytest.mark.parametrize(
    ("trees", "products", "events", "reason"),
    [
        ({"a": range(3), "b": range(3), "c": range(2)}, "ab", 3, "'sparse3d_c' has 2 events and 'sparse3d_a' 3"),
        ({"a": range(3), "b": range(3), "c": range(5)}, "ab", 3, "'sparse3d_c' has 5 events and 'sparse3d_a' 3"),
        ({"a": range(3), "b": range(2)}, "a", 3, "'sparse3d_b' has 2 events and 'sparse3d_a' 3"),
        ({"a": [], "b": [], "c": range(2)}, "c", 2, "'sparse3d_a' has 0 events and 'sparse3d_c' 2"),
        (
            {"a": [0, 1, 2], "b": [0, 5, 2], "c": [0, 1, 2]},
            "ac",
            3,
            r"'sparse3d_b' its entry 1 is event \[5, 5, 5\], and \[1, 1, 1\] in 'sparse3d_a'",
        ),
    ],
)
def test_a_tree_that_is_not_needed_may_hold_other_events(tmp_path, trees, products, events, reason):
    path = write_ids(tmp_path / "x.root", {f"sparse3d_{name}": ids for name, ids in trees.items()})
    reader = open_reader(path)
    assert reader.products() == tuple(f"sparse3d_{name}" for name in products) and len(reader) == events
    other = next(iter(reader.unusable))
    with pytest.raises(UserError, match=rf"x\.root: {reason}"):
        reader.sparse3d(0, other.removeprefix("sparse3d_"))
    with pytest.raises(UserError, match=r"x\.root: 'sparse3d_.' .*; name what to keep with --products"):
        convert(path, tmp_path / "x.h5")
    with pytest.raises(UserError, match=r"x\.root: 'sparse3d_"):
        convert(path, tmp_path / "x.h5", products=[other])
    with pytest.raises(UserError, match=rf"x\.root: '{other}' \(schema key 'k'\)"):
        LArCVDataset(path, {"k": ["parse_sparse3d", other]})
    assert LArCVDataset(path, {"k": ["parse_sparse3d", reader.products()[0]]}).describe(0).endswith("event 0")


def test_missing_leaf(tmp_path):
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        write_tree(file, "sparse3d_a_tree", {leaf: np.arange(3) for leaf in ("_run", "_subrun", "_event")})
    with pytest.raises(UserError, match=r"x\.root: product 'sparse3d_a' has no leaf '_voxel_v\._id'"):
        open_reader(path).sparse3d(0, "a")


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path, fraction):
    path = tmp_path / "x.root"
    content = (GENUINE / FILES[0]).read_bytes()
    path.write_bytes(content[: max(10, int(fraction * len(content)))])
    with pytest.raises(UserError, match=rf"{path}: the file is truncated"):
        open_reader(path)


def test_a_damaged_basket_takes_only_its_own_events_along(tmp_path):
    """Baskets are read several at once: the sound ones among them are not to be lost."""
    path = event_files.larcv2(tmp_path / "events.root", 40)
    with uproot.open(path) as file:
        branch = file["sparse3d_pcluster_tree"]["_voxel_v._id"]
        place, bounds = branch.basket_key(2).data_cursor.index, branch.entry_offsets
    assert bounds == [0, 10, 20, 30, 40]
    content = bytearray(path.read_bytes())
    content[place + 500] ^= 255
    path.write_bytes(content)
    reader, lost = LArCV2Reader(path), []
    reader.sparse3d(0, "pcluster")
    reader._leaves["sparse3d_pcluster"]._ids._ahead = 4
    for index in range(40):
        try:
            assert len(reader.sparse3d(index, "pcluster")) in (19738, 13218)
        except UserError as error:
            assert f"event {index}: sparse3d_pcluster" in str(error)
            lost.append(index)
    assert lost == list(range(20, 30))
