"""What an HDF5 file may be made of, and what is compared before anything of it is read."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from io_samples import read_everything, write_events
from test_output_as_input import make_event as make_output_event
from test_pilarnet_m import make_event, write

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer, LArCV3Reader, open_reader
from mlreco.iotools.larcv3 import tables
from mlreco.iotools.larcv3.layout import EVENT_ID, EXTENTS

GENUINE = Path(__file__).parent / "genuine" / "events.h5"
TABLES = {
    "LArCV3": "Data/sparse3d_pcluster_group/voxels",
    "PILArNet-M": "point",
    "output": "products/energies/values",
}


@pytest.fixture(params=TABLES)
def sound(request, tmp_path):
    """A sound file of each kind and the name of a table in it."""
    path, rng = tmp_path / "sound.h5", np.random.default_rng(0)
    if request.param == "LArCV3":
        write_events(path)
    elif request.param == "PILArNet-M":
        write(path, [make_event(rng, (9, 30)) for _ in range(3)])
    else:
        with HDF5Writer(
            path, {"class_scheme": "pilarnet", "classes": ["HIP", "MIP", "Shower", "Delta", "Michel"]}
        ) as out:
            for _ in range(3):
                out.append(make_output_event(rng, 30))
    return path, TABLES[request.param]


def point_elsewhere(file, table, kind, other):
    rows = file[table]
    shape, dtype = rows.shape, rows.dtype
    del file[table]
    if kind == "external link":
        file[table] = h5py.ExternalLink(str(other), table)
    elif kind == "external storage":
        file.create_dataset(table, (4,), "u1", external=[(str(other), 0, 4)])
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:] = h5py.VirtualSource("." if kind == "virtual onto itself" else str(other), table, shape)
        file.create_virtual_dataset(table, layout)


@pytest.mark.parametrize("kind", ["external link", "external storage", "virtual", "virtual onto itself"])
def test_nothing_that_stands_elsewhere_is_read(sound, kind, tmp_path):
    path, table = sound
    other = tmp_path / "other.h5"
    shutil.copy(path, other)
    if "point" in table and "virtual" in kind:
        pytest.skip("the library makes no virtual table of rows of variable length")
    reader = open_reader(path)
    reader.close()
    with h5py.File(path, "a") as file:
        point_elsewhere(file, table, kind, other)
    with pytest.raises(UserError, match=rf"sound\.h5: .*'{table}'") as told:
        read_everything(path)
    assert "\n" not in str(told.value)
    with pytest.raises(UserError, match=rf"'{table}'"):  # also where it changes between two openings
        for index in range(len(reader)):
            for product in reader.products():
                if product.startswith("sparse3d"):
                    reader.sparse3d(index, product.partition("_")[2])


def test_a_linked_group_is_not_followed(sound, tmp_path):
    path, table = sound
    other = tmp_path / "other.h5"
    shutil.copy(path, other)
    group = table.partition("/")[0]
    with h5py.File(path, "a") as file:
        del file[group]
        file[group] = h5py.ExternalLink(str(other), group)
    with pytest.raises(UserError, match=rf"sound\.h5: '{group}' is a link to another file"):
        read_everything(path)


def test_soft_links_within_a_file_are_followed(sound):
    path, table = sound
    expected = read_everything(path)
    with h5py.File(path, "a") as file:
        file["elsewhere"] = file[table]
        del file[table]
        file[table] = h5py.SoftLink("/elsewhere")
    assert read_everything(path) == expected


@pytest.mark.parametrize("layout", ["chunked", "contiguous"])
def test_rows_that_are_declared_and_not_there(sound, layout):
    """They would be read as zeros, as many as the file says."""
    path, table = sound
    with h5py.File(path, "a") as file:
        dtype = file[table].dtype
        del file[table]
        shape = (1 << 40,)
        file.create_dataset(table, shape, dtype, chunks=(64,) if layout == "chunked" else None)
    with pytest.raises(UserError, match=r"sound\.h5: .* declares 1099511627776 (rows|values)"):
        read_everything(path)


def test_a_chunk_that_no_memory_can_hold(sound):
    path, table = sound
    with h5py.File(path, "a") as file:
        rows = file[table][()]
        del file[table]
        file.create_dataset(
            table, rows.shape, rows.dtype, chunks=(1 << 27, *rows.shape[1:]), maxshape=(None, *rows.shape[1:])
        )
    with pytest.raises(UserError, match=r"has chunks of \d+ bytes"):
        read_everything(path)


FILTERED = """
import sys
if {absent}:
    sys.modules["hdf5plugin"] = None
sys.path.insert(0, {folder!r})
from io_samples import read_everything
from mlreco.errors import UserError
try:
    print(hash(str(read_everything({path!r}))) == hash(str(read_everything({expected!r}))))
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("name", ["Blosc", "Zstd"])
def test_filters_of_the_plugin_package(tmp_path, name, absent):
    plugins = pytest.importorskip("hdf5plugin")
    path, table = tmp_path / "filtered.h5", "Events/event_id"
    shutil.copy(GENUINE, path)
    with h5py.File(path, "a") as file:
        rows = file[table][()]
        del file[table]
        file.create_dataset(table, data=rows, chunks=(100,), maxshape=(None,), **getattr(plugins, name)())
    text = FILTERED.format(absent=absent, folder=str(Path(__file__).parent), path=str(path), expected=str(GENUINE))
    told = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    if absent:
        assert f"filtered.h5: table '{table}' is compressed with the HDF5 filter {name} (320" in told
        assert "pip install 'mlreco[filters]'" in told
    else:
        assert told == "True\n"


@pytest.mark.parametrize("limit", [0, 3, 1 << 20])
def test_row_ranges_in_memory_and_in_the_file(tmp_path, monkeypatch, limit):
    """A file of many events keeps its row ranges in the file."""
    path = tmp_path / "events.h5"
    write_events(path)
    expected = read_everything(path)
    counts = {name: LArCV3Reader(path).voxel_counts(name).tolist() for name in LArCV3Reader(path).products()}
    monkeypatch.setattr(tables, "_CACHED_ROWS", limit)
    assert read_everything(path) == expected
    assert {name: LArCV3Reader(path).voxel_counts(name).tolist() for name in counts} == counts
    meta = LArCV3Reader(path).image_meta(1, "cluster3d_pcluster")
    assert meta == LArCV3Reader(path).sparse3d(1, "pcluster").meta


def test_a_file_of_more_than_a_million_events(tmp_path):
    path, count = tmp_path / "many.h5", (1 << 20) + 1
    with h5py.File(path, "w") as file:
        options = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "chunks": (65536,)}
        ids = np.zeros(count, EVENT_ID)
        ids["event"] = np.arange(count)
        file.create_dataset("Events/event_id", data=ids, **options)
        group = file.create_group("Data/particle_pcluster_group")
        extents = np.zeros(count, EXTENTS)
        extents["first"][-1], extents["N"][-1] = 0, 1
        group.create_dataset("extents", data=extents, **options)
        group["particles"] = np.array([(7, 13)], [("id", "u2"), ("pdg", "i4")])
    reader = open_reader(path)
    assert len(reader) == count
    assert reader.event_id(count - 1).tolist() == [0, 0, count - 1]
    assert reader.particles(count - 1, "pcluster").tolist() == [(7, 13)]
    assert len(reader.particles(12345, "pcluster")) == 0
    assert reader.voxel_counts("particle_pcluster").sum() == 1


WIDER = {
    "<u2": "<u8",
    "<u4": "<i8",
    "<u8": "<i8",
    "<i8": "<u8",
    "<i4": "<i8",
    "<i2": "<i4",
    "<f4": "<f8",
    "|S64": "|S20",
}


def converted(dtype, change):
    if dtype.names:
        return np.dtype([(name, converted(dtype[name], change)) for name in dtype.names])
    if dtype.subdtype:
        return np.dtype((converted(dtype.subdtype[0], change), dtype.subdtype[1]))
    return np.dtype(change(dtype))


@pytest.mark.parametrize("change", ["wider", "big-endian"])
def test_types_that_stand_for_those_of_the_format(tmp_path, change):
    path = tmp_path / "events.h5"
    shutil.copy(GENUINE, path)
    expected = read_everything(path)
    other = (lambda kind: WIDER.get(kind.str, kind)) if change == "wider" else (lambda kind: kind.newbyteorder(">"))
    with h5py.File(path, "a") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in found:
            rows = file[name][()]
            del file[name]
            file[name] = rows.astype(converted(rows.dtype, other))
    assert read_everything(path) == expected


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ("value", ">f4", "both byte orders"),
        ("value", "<u4", "column 'value' is no float32"),
        ("id", "<f8", "column 'id' is no uint64"),
        ("value", None, "lacks the columns value"),
    ],
)
def test_types_that_do_not(tmp_path, column, kind, message):
    path, table = tmp_path / "events.h5", "Data/sparse3d_pcluster_group/voxels"
    shutil.copy(GENUINE, path)
    with h5py.File(path, "a") as file:
        rows = file[table][()]
        kinds = [(name, kind if name == column else rows.dtype[name]) for name in rows.dtype.names]
        del file[table]
        file[table] = rows.astype([pair for pair in kinds if pair[1]]) if kind else rows[["id"]].copy()
    with pytest.raises(UserError, match=rf"events\.h5: sparse3d_pcluster: table 'voxels'.* {message}"):
        read_everything(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("image_sizes", np.nan, "x nan x"),
        ("image_sizes", np.inf, "x inf x"),
        ("image_sizes", 0.0, "x 0 x"),
        ("image_sizes", -1.0, "x -0.142857 x"),
        ("origin", np.nan, "origin at .-1, nan"),
        ("number_of_voxels", 0, "image of 9 x 0 x 5 voxels"),
        ("number_of_voxels", 1 << 31, "x 2147483648 x"),
        ("number_of_voxels", (1 << 64) - 1, "x 18446744073709551615 x"),
    ],
)
def test_geometry_that_cannot_be_used(tmp_path, column, value, message):
    path = tmp_path / "events.h5"
    shutil.copy(GENUINE, path)
    with h5py.File(path, "a") as file:
        table = file["Data/sparse3d_pcluster_group/image_meta"]
        rows = table[()]
        rows[column][:, 1] = value
        table[...] = rows
    with pytest.raises(UserError, match=rf"events\.h5: event 0: sparse3d_pcluster: has an .*{message}"):
        read_everything(path)


@pytest.mark.parametrize("product", ["classes", "x"])
def test_an_output_reader_closes_what_it_refuses(tmp_path, product):
    path = tmp_path / "output.h5"
    with h5py.File(path, "w") as file:
        file[product] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(UserError, match="another file"):
        HDF5Reader(path)
    with h5py.File(path, "a"):
        pass
