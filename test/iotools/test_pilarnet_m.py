import struct

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_samples import SCHEMA

from mlreco.errors import UserError
from mlreco.iotools import LArCVDataset, Reader, open_reader
from mlreco.iotools.heap_guard import GuardedHDF5
from mlreco.iotools.pilarnet_m.variable_rows import VariableRows


def make_event(rng, sizes, size=768):
    """Clusters of distinct voxels (within a cluster); the first is the low-energy one."""
    points, clusters = [], []
    for number, count in enumerate(sizes):
        chosen = rng.choice(min(size, 6) ** 3, size=count, replace=False)
        table = np.zeros((count, 8))
        table[:, :3] = np.stack(np.unravel_index(chosen, (6, 6, 6)), axis=1)
        table[:, 3:] = rng.integers(1, 100, (count, 5)) / 8
        points.append(table)
        group = [count, number - 1, (number - 1) // 2, 0, rng.integers(4), rng.integers(-1, 5)]
        clusters.append([count, -1, -1, -1, 4, -1] if number == 0 else group)
    return np.concatenate(points) if points else np.zeros((0, 8)), np.array(clusters).reshape(-1, 6)


def write(path, events, columns=6):
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        for name, position, width in (("point", 0, 8), ("cluster", 1, columns)):
            rows = file.create_dataset(name, (len(events),), h5py.vlen_dtype(np.float32))
            for index, event in enumerate(events):
                rows[index] = event[position][:, :width].astype(np.float32).ravel()


def slow_products(points, clusters):
    """Value and class of each voxel; voxels of each set, the low-energy one last."""
    values, classes, largest, sets, rest = {}, {}, {}, [], {}
    start = 0
    for count, fragment, _, _, semantic, _ in clusters.tolist():
        mine = {}
        for x, y, z, value, *_ in points[start : start + int(count)].tolist():
            voxel = (int(x), int(y), int(z))
            mine[voxel] = value
            values[voxel] = values.get(voxel, 0) + value
            if value > largest.get(voxel, -1):
                largest[voxel], classes[voxel] = value, semantic
        start += int(count)
        if fragment >= 0:
            sets.append(mine)
        else:
            rest = mine
    return values, classes, [*sets, rest] if (clusters[:, 1] < 0).any() else sets


@settings(max_examples=30, deadline=None)
@given(
    events=st.lists(st.lists(st.integers(0, 20), max_size=5), min_size=1, max_size=4),
    columns=st.sampled_from([5, 6]),
    seed=st.integers(0, 999),
)
def test_equals_a_slow_decode(tmp_path_factory, events, columns, seed):
    path = tmp_path_factory.mktemp("pm") / "x.h5"
    rng = np.random.default_rng(seed)
    events = [make_event(rng, sizes) for sizes in [[3, 4, 5], *events]]
    write(path, events, columns)
    reader = open_reader(path)
    assert isinstance(reader, Reader) and reader.format_name == "PILArNet-M" and len(reader) == len(events)
    for index, (points, clusters) in enumerate(events):
        values, classes, sets = slow_products(points, clusters)
        energies, semantics = reader.sparse3d(index, "pcluster"), reader.sparse3d(index, "pcluster_semantics")
        rows = [tuple(row) for row in energies.coordinates.tolist()]
        assert rows == sorted(values) and energies.meta.shape == (768, 768, 768)
        assert energies.features[:, 0].tolist() == [values[row] for row in rows]
        np.testing.assert_array_equal(semantics.coordinates, energies.coordinates)
        np.testing.assert_array_equal(semantics.features[:, 0], [classes[row] for row in rows])
        found = reader.cluster3d(index, "pcluster")
        assert found.num_sets == len(sets)
        for number, voxels in enumerate(sets):
            mine = found.sets == number
            assert [tuple(row) for row in found.coordinates[mine].tolist()] == sorted(voxels)
            assert found.values[mine].tolist() == [voxels[row] for row in sorted(voxels)]
        particles = reader.particles(index, "pcluster")
        kept = clusters[clusters[:, 1] >= 0]
        assert particles["group_id"].tolist() == kept[:, 2].tolist()
        assert particles["interaction_id"].tolist() == kept[:, 3].tolist()
        assert particles["num_voxels"].tolist() == kept[:, 0].tolist()
        codes = {0: 22, 1: 11, 2: 13, 3: 211, 4: 2212, -1: 0}
        assert particles["pdg"].tolist() == (
            [codes[number] for number in kept[:, 5]] if columns == 6 else [0] * len(kept)
        )
        assert np.isnan(particles["vtx"]["x"]).all() and np.isnan(particles["px"]).all()


def test_labels(tmp_path):
    rng = np.random.default_rng(3)
    events = [make_event(rng, (5, 10, 20)), make_event(rng, (0, 7)), make_event(rng, ())]
    write(tmp_path / "x.h5", events)
    dataset = LArCVDataset(tmp_path / "x.h5", SCHEMA, class_scheme="mlreco")
    for index, (points, clusters) in enumerate(events):
        table = dataset[index]["cluster_label"]
        values, _, sets = slow_products(points, clusters)
        assert len(table) == len(values)
        if index == 0:
            low = [row for row in values if row in sets[-1] and all(row not in one for one in sets[:-1])]
            rows = {tuple(row): number for number, row in enumerate(table.coordinates.tolist())}
            assert low and all(table.column("cluster")[rows[row]] == -1 for row in low)
            assert set(table.column("cluster")) == {-1, 0, 1} and set(table.column("group")) <= {-1, 0}
        np.testing.assert_array_equal(table.column("semantic"), dataset[index]["segment_label"].features[:, 0])


def test_sidecar(tmp_path):
    write(tmp_path / "x.h5", [make_event(np.random.default_rng(1), (3, 4)), make_event(np.random.default_rng(1), ())])
    assert open_reader(tmp_path / "x.h5").voxel_counts("sparse3d_pcluster") is None
    np.save(tmp_path / "x_points.npy", np.array([7, 0]))
    assert open_reader(tmp_path / "x.h5").voxel_counts("sparse3d_pcluster").tolist() == [7, 0]
    assert open_reader(tmp_path / "x.h5").voxel_counts("sparse3d_pcluster_semantics") is None
    np.save(tmp_path / "x_points.npy", np.array([7, 0, 1]))
    with pytest.raises(UserError, match=r"x_points\.npy: holds int64 \(3,\) and not a count for each of 2 events"):
        open_reader(tmp_path / "x.h5").voxel_counts("sparse3d_pcluster")


def test_bad_input(tmp_path):
    path = tmp_path / "x.h5"
    points, clusters = make_event(np.random.default_rng(1), (3, 4))
    with pytest.raises(UserError, match="no product 'sparse3d_other'; the file holds cluster3d_pcluster"):
        write(path, [(points, clusters)])
        open_reader(path).sparse3d(0, "other")
    with pytest.raises(UserError, match=r"event 0: 'cluster' holds 12 numbers that are no clusters of 6 points"):
        write(path, [(points[1:], clusters)])
        open_reader(path)
    with pytest.raises(UserError, match=r"event 1: 'cluster' does not describe 'point'"):
        write(path, [(points, clusters), (points[1:], clusters)])
        open_reader(path).sparse3d(1, "pcluster")
    for value, message in (
        (0.5, "do not stand on voxels"),
        (800, r"voxel \(800, .*outside the image"),
    ):
        moved = points.copy()
        moved[0, 0] = value
        write(path, [(moved, clusters)])
        with pytest.raises(UserError, match=rf"x\.h5: event 0: sparse3d_pcluster: .*{message}"):
            open_reader(path).sparse3d(0, "pcluster")
    path.unlink()
    with h5py.File(path, "w") as file:
        file["point"], file["cluster"] = np.zeros((2, 8)), np.zeros((2, 6))
    with pytest.raises(UserError, match="table 'point' does not hold a row of variable length for each event"):
        open_reader(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"x\.h5: the file is truncated"):
        open_reader(path)


STORED = {
    "contiguous": {},
    "chunked": {"chunks": (3,)},
    "gzip": {"chunks": (3,), "compression": "gzip"},
    "shuffle": {"chunks": (3,), "compression": "gzip", "shuffle": True},
    "lzf, which only the library reads": {"chunks": (3,), "compression": "lzf"},
}


def stored(path, rows, kind, options):
    """Write rows of variable length; h5py itself reads such numbers wrongly in the other byte order."""
    with h5py.File(path, "w") as file:
        table = file.create_dataset("rows", (len(rows),), h5py.vlen_dtype(np.dtype(kind)), **options)
        for index, row in enumerate(rows):
            table[index] = row


@pytest.mark.parametrize("kind", ["<f4", ">f8", "<i4"])
@pytest.mark.parametrize("name", STORED)
def test_rows_are_those_that_the_library_reads(tmp_path, name, kind):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 99, count).astype(kind) for count in (3, 0, 700, 1, 2000, 0, 5, 64)]
    stored(tmp_path / "x.h5", rows, kind, STORED[name])
    with GuardedHDF5(tmp_path / "x.h5") as file:
        found = VariableRows(file["rows"], file.handle)
        assert len(found) == len(rows) and (found._references is None) == name.startswith("lzf")
        if name.startswith("lzf") and kind == ">f8":
            with pytest.raises(ValueError, match="which h5py reads wrongly"):
                found[0]
            return
        for index in [*range(len(rows)), *rng.permutation(len(rows)).tolist()]:
            np.testing.assert_array_equal(found[index], rows[index])
            if np.dtype(kind).isnative:
                np.testing.assert_array_equal(found[index], file["rows"][index])


def test_a_row_that_declares_more_than_there_is(tmp_path):
    stored(tmp_path / "x.h5", [np.arange(5, dtype="f4"), np.arange(3, dtype="f4")], "f4", {})
    with h5py.File(tmp_path / "x.h5") as file:
        place = file["rows"].id.get_offset()
    content = bytearray((tmp_path / "x.h5").read_bytes())
    for count, heap in ((3_900_000_000, None), (4, None), (5, 1 << 40), (5, (1 << 64) - 1), (5, 0)):
        changed = bytearray(content)
        changed[place : place + 4] = struct.pack("<I", count)
        if heap is not None:
            changed[place + 4 : place + 12] = struct.pack("<Q", heap)
        (tmp_path / "y.h5").write_bytes(changed)
        with GuardedHDF5(tmp_path / "y.h5") as file:
            rows = VariableRows(file["rows"], file.handle)
            with pytest.raises(ValueError, match=r"declares|points to a heap"):
                rows[0]
            np.testing.assert_array_equal(rows[1], [0, 1, 2])


@pytest.mark.parametrize(
    "row", [[-5, 0, 0, 0, 0, 0], [np.inf, 0, 0, 0, 0, 0], [9, np.nan, 0, 0, 0, 0], [9, 0, np.inf, 0, 0, 0]]
)
def test_clusters_that_are_no_numbers(tmp_path, row):
    points, clusters = make_event(np.random.default_rng(0), (9, 5))
    write(tmp_path / "x.h5", [(points, np.vstack([clusters[:1], row]))])
    with pytest.raises(UserError, match=r"x\.h5: event 0: 'cluster'"):
        open_reader(tmp_path / "x.h5")
