import multiprocessing
import pickle
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_samples import META, clusters, event, image, particles, slow_voxels, write_events

from mlreco.errors import UserError
from mlreco.iotools import ClusterVoxels, LArCV3Reader, LArCV3Writer, Reader, open_reader
from mlreco.voxels import EventVoxels, ImageMeta


def rows(coordinates):
    return [tuple(row) for row in coordinates.tolist()]


@pytest.mark.parametrize("name", ["larcv3_reference.h5", "real_events.h5", "thin_val.h5"])
def test_equals_a_slow_decode(shared_data, name):
    path = shared_data / name
    reader = open_reader(path)
    assert isinstance(reader, Reader)
    for index in (0, len(reader) - 1):
        for producer in ("pcluster", "pcluster_semantics"):
            (expected,), shape = slow_voxels(path, f"sparse3d_{producer}", index)
            found = reader.sparse3d(index, producer)
            assert found.meta.shape == shape and found.columns == (producer,)
            assert rows(found.coordinates) == sorted(expected)
            assert found.features[:, 0].tolist() == [expected[row] for row in sorted(expected)]
        expected, _ = slow_voxels(path, "cluster3d_pcluster", index)
        found = reader.cluster3d(index, "pcluster")
        assert found.num_sets == len(expected)
        for number, voxels in enumerate(expected):
            mine = found.sets == number
            assert rows(found.coordinates[mine]) == sorted(voxels)
            np.testing.assert_allclose(found.values[mine], [voxels[row] for row in sorted(voxels)], rtol=1e-6)
        with h5py.File(path) as file:
            group = file["Data/particle_pcluster_group"]
            first, count = (int(number) for number in group["extents"][index])
            expected = group["particles"][first : first + count]
            assert repr(reader.particles(index, "pcluster").tolist()) == repr(expected.tolist())
            assert reader.event_id(index).tolist() == list(file["Events/event_id"][index])


def test_facts_of_the_reference_file(shared_data):
    """What lar_sim says about its files; this one was written by the larcv library."""
    reader = LArCV3Reader(shared_data / "larcv3_reference.h5")
    assert len(reader) == 10
    for index in range(10):
        assert reader.event_id(index).tolist() == [103, 0, index]
        energies, classes = reader.sparse3d(index, "pcluster"), reader.sparse3d(index, "pcluster_semantics")
        assert energies.meta.shape == (512, 512, 512)
        np.testing.assert_allclose(energies.meta.origin, -76.8)
        np.testing.assert_allclose(energies.meta.voxel_size, 0.3)
        np.testing.assert_array_equal(energies.coordinates, classes.coordinates)
        assert energies.features.min() >= 0.01 and set(np.unique(classes.features)) <= {0, 1, 2, 3, 4}
        instances = reader.cluster3d(index, "pcluster")
        assert len(instances) == len(energies)
        assert len(reader.particles(index, "pcluster")) == instances.num_sets
        np.testing.assert_allclose(instances.values.sum(), energies.features.sum(), rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    sizes=st.lists(st.integers(0, 12), max_size=6),
    shape=st.tuples(st.integers(5, 40), st.integers(5, 40), st.integers(5, 900)),
    compress=st.booleans(),
    flush=st.booleans(),
)
def test_round_trip(tmp_path_factory, counts, sizes, shape, compress, flush):
    path = tmp_path_factory.mktemp("larcv") / "x.h5"
    meta = ImageMeta(shape, (1.0, -2.0, 3.0), (0.3, 0.4, 0.5))
    rng = np.random.default_rng(sum(counts))
    events = [
        {
            "sparse3d_a": image(rng, count, meta),
            "cluster3d_a": clusters(rng, sizes, meta),
            "particle_a": particles(rng, len(sizes)),
        }
        for count in counts
    ]
    with LArCV3Writer(path, compress=compress, attributes={"command": "test"}) as writer:
        for number, products in enumerate(events):
            writer.append((7, number, 9), products)
            if flush:
                writer.flush()
    reader = LArCV3Reader(path)
    assert reader.products() == ("cluster3d_a", "particle_a", "sparse3d_a")
    assert len(reader) == len(events)
    for number, products in enumerate(events):
        assert reader.event_id(number).tolist() == [7, number, 9]
        found = reader.sparse3d(number, "a")
        np.testing.assert_array_equal(found.coordinates, products["sparse3d_a"].coordinates)
        np.testing.assert_array_equal(found.features, products["sparse3d_a"].features)
        assert found.meta.shape == shape
        np.testing.assert_allclose(found.meta.origin, meta.origin)
        np.testing.assert_allclose(found.meta.voxel_size, meta.voxel_size)
        sets = reader.cluster3d(number, "a")
        assert sets.num_sets == max(len(sizes), 1)
        for name in ("coordinates", "values", "sets"):
            np.testing.assert_array_equal(getattr(sets, name), getattr(products["cluster3d_a"], name))
        assert (reader.particles(number, "a") == products["particle_a"]).all()


def test_layout_for_the_larcv_library(tmp_path):
    write_events(tmp_path / "x.h5", counts=(0, 20))
    with h5py.File(tmp_path / "x.h5") as file:
        group = file["Data/cluster3d_pcluster_group"]
        assert [int(extent["N"]) for extent in group["projection_extents"][()]] == [1, 2]
        assert [int(extent["N"]) for extent in group["extents"][()]] == [1, 1]
        voxels = group["voxels"]
        assert (voxels.chunks, voxels.compression, voxels.compression_opts, voxels.shuffle) == (
            (4096,),
            "gzip",
            1,
            True,
        )
        assert voxels.dtype.itemsize == 16 and group["image_meta"].dtype.itemsize == 96
        assert file["Data/particle_pcluster_group/particles"].dtype.itemsize == 344


def test_equal_ids_in_one_set_are_added(tmp_path):
    path = tmp_path / "x.h5"
    coordinates = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 1]], dtype=np.int32)
    sets = ClusterVoxels(coordinates, np.array([1, 2, 4, 8], np.float32), np.array([0, 0, 0, 1], np.int32), 3, META)
    with LArCV3Writer(path) as writer:
        writer.append((0, 0, 0), {"cluster3d_a": sets})
    found = LArCV3Reader(path).cluster3d(0, "a")
    assert found.coordinates.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert found.values.tolist() == [4, 3, 8] and found.sets.tolist() == [0, 0, 1] and found.num_sets == 3


def test_unsorted_voxels_are_sorted(tmp_path):
    path = tmp_path / "x.h5"
    unsorted = EventVoxels(
        np.array([[3, 0, 0], [1, 2, 3]], np.int32), np.array([[3.0], [1.0]], np.float32), ("a",), META
    )
    with LArCV3Writer(path) as writer:
        writer.append((0, 0, 0), {"sparse3d_a": unsorted})
    found = LArCV3Reader(path).sparse3d(0, "a")
    assert found.coordinates.tolist() == [[1, 2, 3], [3, 0, 0]] and found.features.tolist() == [[1], [3]]


def test_no_projection_is_an_empty_event(tmp_path):
    path = tmp_path / "x.h5"
    write_events(path)
    with h5py.File(path, "a") as file:
        for product in ("sparse3d_pcluster", "cluster3d_pcluster"):
            table = file[f"Data/{product}_group/extents"]
            table[1] = (0, 0)
    reader = LArCV3Reader(path)
    assert len(reader.sparse3d(1, "pcluster")) == 0
    assert reader.cluster3d(1, "pcluster").num_sets == 0
    assert reader.sparse3d(1, "pcluster").meta.shape == META.shape


def read_in_child(reader, queue):
    queue.put(reader.sparse3d(0, "pcluster").features.sum())


def test_pickle_and_fork(tmp_path):
    path = tmp_path / "x.h5"
    write_events(path)
    reader = LArCV3Reader(path)
    expected = reader.sparse3d(0, "pcluster").features.sum()
    assert pickle.loads(pickle.dumps(reader)).sparse3d(0, "pcluster").features.sum() == expected
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(reader, queue))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join()


def change(path, table, row, field, value):
    with h5py.File(path, "a") as file:
        rows = file[table][()]
        rows[field][row] = value
        file[table][...] = rows


@pytest.mark.parametrize(
    ("product", "table", "row", "field", "value", "message"),
    [
        ("sparse3d", "voxels", 2, "id", 315, r"event 0: sparse3d_pcluster: voxel id 315 lies outside .* 9 x 7 x 5"),
        ("sparse3d", "voxels", 31, "id", 2**63, r"event 3: sparse3d_pcluster: voxel id 9223372036854775808 lies"),
        ("sparse3d", "voxels", 2, "value", np.nan, r"event 0: sparse3d_pcluster: voxel \(.*\) has the value nan"),
        ("sparse3d", "voxels", 2, "value", -np.inf, r"event 0: sparse3d_pcluster: voxel \(.*\) has the value -inf"),
        ("cluster3d", "voxels", 2, "value", np.nan, r"event 0: cluster3d_pcluster: voxel \(.*\) has the value nan"),
        ("cluster3d", "voxels", 2, "id", 315, r"event 0: cluster3d_pcluster: voxel id 315 lies outside"),
        (
            "sparse3d",
            "voxel_extents",
            3,
            "N",
            99,
            r"event 3: sparse3d_pcluster: points to rows 31 to 130 .* that has 81",
        ),
        ("sparse3d", "extents", 0, "first", 7, r"points to rows 7 to 8 of table 'voxel_extents' that has 4"),
        ("sparse3d", "extents", 0, "N", 2, r"event 0: sparse3d_pcluster: has 2 projections"),
        ("cluster3d", "cluster_extents", 10, "N", 999, r"event 3: cluster3d_pcluster: points to rows up to"),
        ("cluster3d", "cluster_extents", 1, "first", 0, r"voxel sets do not follow one another"),
        ("particle", "extents", 0, "N", 99, r"event 0: particle_pcluster: points to rows 0 to 99"),
        ("sparse3d", "image_meta", 0, "number_of_voxels", 0, r"event 0: sparse3d_pcluster: has an image of 0 x 0 x 0"),
    ],
)
def test_damaged_tables(tmp_path, product, table, row, field, value, message):
    path = tmp_path / "x.h5"
    write_events(path)
    change(path, f"Data/{product}_pcluster_group/{table}", row, field, value)
    reader = LArCV3Reader(path)
    read = {"sparse3d": reader.sparse3d, "cluster3d": reader.cluster3d, "particle": reader.particles}[product]
    with pytest.raises(UserError, match=message) as caught:
        for index in range(4):
            read(index, "pcluster")
    assert str(caught.value).startswith(f"{path}: event ") and "\n" not in str(caught.value)


def test_duplicate_voxel(tmp_path):
    path = tmp_path / "x.h5"
    write_events(path)
    with h5py.File(path) as file:
        first = file["Data/sparse3d_pcluster_group/voxels"][0]["id"]
    change(path, "Data/sparse3d_pcluster_group/voxels", 1, "id", first)
    with pytest.raises(UserError, match=r"event 0: sparse3d_pcluster: voxel \(\d+, \d+, \d+\) occurs more than once"):
        LArCV3Reader(path).sparse3d(0, "pcluster")


def test_missing_things(tmp_path):
    path = tmp_path / "x.h5"
    write_events(path)
    reader = LArCV3Reader(path)
    with pytest.raises(
        UserError, match=r"no product 'sparse3d_x'; the file holds cluster3d_pcluster, particle_pcluster"
    ):
        reader.sparse3d(0, "x")
    with pytest.raises(IndexError):
        reader.sparse3d(4, "pcluster")
    reader.close()
    with h5py.File(path, "a") as file:
        del file["Data/sparse3d_pcluster_group/voxels"]
        file["Data/particle_pcluster_group/extents"].resize((2,))
    reader = LArCV3Reader(path)
    with pytest.raises(UserError, match="sparse3d_pcluster: table 'voxels' is missing"):
        reader.sparse3d(0, "pcluster")
    with pytest.raises(UserError, match="particle_pcluster: holds 2 of the file's 4 events"):
        reader.particles(0, "pcluster")


def other_hdf5(path, names):
    with h5py.File(path, "w") as file:
        for name in names:
            file.create_group(name)


def test_other_files(tmp_path):
    path = tmp_path / "x.h5"
    for content, message in [
        (None, "no such file"),
        (b"", "is empty"),
        (b"root" + bytes(99), "a ROOT file"),
        (b"PK\x03\x04" + bytes(99), "a zip archive"),
        (b"iotool:\n  batch_size: 3\n", "a text file"),
        (bytes(range(256)), "of an unknown kind"),
    ]:
        if content is not None:
            path.write_bytes(content)
        for opener in (open_reader, LArCV3Reader):
            with pytest.raises(UserError, match=message) as caught:
                opener(path)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="is a folder"):
        open_reader(tmp_path)
    for names, message in [(["a", "b"], "HDF5 with a, b"), ([], "nothing in it")]:
        other_hdf5(path, names)
        with pytest.raises(UserError, match=f"seems to be .*{message}"):
            open_reader(path)
    other_hdf5(path, ["Data", "Events"])
    with pytest.raises(UserError, match="table 'Events/event_id' is missing"):
        open_reader(path)


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_truncated_file(tmp_path, fraction):
    whole, cut = tmp_path / "whole.h5", tmp_path / "cut.h5"
    write_events(whole, counts=(200, 300))
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(UserError, match=r"cut.h5: .*(truncated|damaged)"):
        open_reader(cut)


def test_damaged_chunk(tmp_path):
    path = tmp_path / "x.h5"
    write_events(path, counts=(200,))
    with h5py.File(path) as file:
        chunk = file["Data/sparse3d_pcluster_group/voxels"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    with pytest.raises(UserError, match="event 0: sparse3d_pcluster: table 'voxels' cannot be read"):
        LArCV3Reader(path).sparse3d(0, "pcluster")


def test_writer_refuses_what_does_not_fit(tmp_path):
    rng = np.random.default_rng(0)
    good = event(rng, 20)
    outside = EventVoxels(np.array([[0, 0, 5]], np.int32), np.ones((1, 1), np.float32), ("a",), META)
    for bad in (
        {**good, "sparse3d_pcluster": outside},
        {**good, "sparse3d_pcluster": good["cluster3d_pcluster"]},
        {"sparse3d_pcluster": good["sparse3d_pcluster"]},
    ):
        with pytest.raises(ValueError), LArCV3Writer(tmp_path / "x.h5") as writer:
            writer.append((0, 0, 0), good)
            writer.append((0, 0, 1), bad)
    with pytest.raises(ValueError, match="KIND_PRODUCER"), LArCV3Writer(tmp_path / "x.h5") as writer:
        writer.append((0, 0, 0), {"tensor_x": outside})
    assert not list(tmp_path.iterdir())


def test_rewriting_real_events(shared_data, tmp_path):
    """Different image sizes and shared voxels survive a copy."""
    source = LArCV3Reader(shared_data / "real_events.h5")
    with LArCV3Writer(tmp_path / "copy.h5") as writer:
        for index in range(len(source)):
            products = {
                "sparse3d_pcluster": source.sparse3d(index, "pcluster"),
                "cluster3d_pcluster": source.cluster3d(index, "pcluster"),
                "particle_pcluster": source.particles(index, "pcluster"),
            }
            writer.append(source.event_id(index), products)
    shutil.copy(tmp_path / "copy.h5", tmp_path / "moved.h5")
    copy = open_reader(tmp_path / "moved.h5")
    assert [copy.sparse3d(index, "pcluster").meta.shape[0] for index in range(3)] == [192, 768, 768]
    for index in range(3):
        old, new = source.cluster3d(index, "pcluster"), copy.cluster3d(index, "pcluster")
        np.testing.assert_array_equal(old.coordinates, new.coordinates)
        np.testing.assert_array_equal(old.values, new.values)
