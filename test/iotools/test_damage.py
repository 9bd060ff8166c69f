"""Damaged files: told in one line or harmless, never another error, a crash or no end.

Values that stand uncompressed in a file have no checksum, so that a changed one cannot be noticed unless it makes no
sense: so it is in files of PILArNet-M.
"""

import shutil
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from io_samples import read_everything
from test_output_as_input import make_event as make_output_event
from test_pilarnet_m import make_event, write

from mlreco.errors import UserError
from mlreco.iotools import HDF5Writer
from mlreco.iotools.conversion import convert

GENUINE = Path(__file__).parent / "genuine"
MUTATIONS = 40


def source(kind, folder):
    rng = np.random.default_rng(0)
    if kind == "LArCV2":
        pytest.importorskip("uproot")
        return GENUINE / "larcv2.root"
    if kind == "LArCV3":
        return GENUINE / "events.h5"
    path = folder / "source.h5"
    if kind == "PILArNet-M":
        write(path, [make_event(rng, (9, 30)) for _ in range(3)])
    else:
        with HDF5Writer(path, {"class_scheme": "pilarnet"}) as writer:
            for _ in range(3):
                writer.append(make_output_event(rng, 30))
    return path


def mutated(content, seed):
    """A file's bytes with one bit flipped, with many, with some of the first, cut off, or with a part overwritten."""
    rng, data, size = np.random.default_rng(seed), bytearray(content), len(content)
    kind = seed % 5
    if kind == 3:
        return bytes(data[: rng.integers(1, size)])
    if kind == 4:
        first = int(rng.integers(size))
        count = min(int(rng.integers(1, 2000)), size - first)
        data[first : first + count] = rng.bytes(count) if seed % 2 else bytes(count)
        return bytes(data)
    places = (
        rng.integers(size, size=1),
        rng.integers(size, size=1 + size // 8000),
        rng.integers(min(size, 8192), size=3),
    )
    for place in places[kind]:
        data[place] ^= 1 << rng.integers(8)
    return bytes(data)


@pytest.mark.parametrize("kind", ["LArCV2", "LArCV3", "PILArNet-M", "output"])
def test_mutated_files(tmp_path, kind):
    path = source(kind, tmp_path)
    content, expected = path.read_bytes(), read_everything(path)
    told = 0
    for seed in range(MUTATIONS):
        damaged = tmp_path / f"damaged{seed}{path.suffix}"
        damaged.write_bytes(mutated(content, seed))
        try:
            found = read_everything(damaged)
        except UserError as error:
            told += 1
            assert str(damaged) in str(error) and "\n" not in str(error)
        else:
            assert found == expected or kind == "PILArNet-M", f"{kind}, seed {seed}: other values without an error"
    assert told > MUTATIONS // 4
    assert read_everything(path) == expected


def heaps(content):
    return [place for place in range(0, len(content), 2) if content[place : place + 4] == b"GCOL"]


@pytest.mark.timeout(60, method="thread")
@pytest.mark.parametrize("kind", ["PILArNet-M", "output", "converted"])
@pytest.mark.parametrize("size", [0, 8, 1 << 40, (1 << 64) - 8])
def test_a_heap_whose_objects_do_not_fill_it_is_refused(tmp_path, kind, size):
    """The HDF5 library never comes back from the first of them."""
    path = source("PILArNet-M" if kind == "converted" else kind, tmp_path)
    if kind == "converted":
        convert(path, tmp_path / "converted.h5")
        path = tmp_path / "converted.h5"
    content = bytearray(path.read_bytes())
    assert heaps(content)
    for place in heaps(content):
        content[place + 16 : place + 32] = struct.pack("<HHIQ", 0, 0, 0, size)
    (tmp_path / "damaged.h5").write_bytes(content)
    with pytest.raises(UserError, match=r"damaged\.h5"):
        read_everything(tmp_path / "damaged.h5")


def test_a_type_that_needs_more_memory_than_it_says(tmp_path):
    """A damaged type once made the library write past the end of the array that was to be filled."""
    path = tmp_path / "damaged.h5"
    shutil.copy(GENUINE / "events.h5", path)
    with h5py.File(path, "a") as file:
        group = file["Data/particle_pcluster_group"]
        rows = group["particles"][()]
        strange = [(name, "<f8" if name == "trackid" else rows.dtype[name]) for name in rows.dtype.names]
        del group["particles"]
        group["particles"] = rows.astype(np.dtype(strange, align=True))
    with pytest.raises(UserError, match=r"damaged\.h5: particle_pcluster: table 'particles': column 'trackid' is no u"):
        read_everything(path)


@pytest.mark.parametrize("table", ["extents", "image_meta", "voxel_extents"])
def test_small_tables_of_a_cache_have_checksums(tmp_path, table):
    path = tmp_path / "cache.h5"
    convert(GENUINE / "events.h5", path, "cache")
    with h5py.File(path) as file:
        place = file[f"Data/sparse3d_pcluster_group/{table}"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 24] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cache\.h5"):
        read_everything(path)


def test_a_group_where_a_table_should_be(tmp_path):
    path = tmp_path / "damaged.h5"
    shutil.copy(GENUINE / "events.h5", path)
    with h5py.File(path, "a") as file:
        del file["Data/sparse3d_pcluster_group/voxels"]
        file["Data/sparse3d_pcluster_group/voxels"] = np.dtype("f4")
    with pytest.raises(
        UserError, match=r"damaged\.h5: sparse3d_pcluster: table 'voxels' is no table; the file is damaged"
    ):
        read_everything(path)


def test_a_table_that_lost_its_filters(tmp_path):
    """Compressed bytes are not taken for run and event numbers."""
    path = tmp_path / "damaged.h5"
    convert(GENUINE / "events.h5", path)
    with h5py.File(path, "a") as file:
        packed = file["Events/event_id"].id.read_direct_chunk((0,))[1]
        rows, chunks = file["Events/event_id"][()], file["Events/event_id"].chunks
        del file["Events/event_id"]
        table = file.create_dataset("Events/event_id", rows.shape, rows.dtype, chunks=chunks, maxshape=(None,))
        table.id.write_direct_chunk((0,), packed)
    with pytest.raises(UserError, match=r"damaged\.h5: table 'Events/event_id' is not stored as it says"):
        read_everything(path)
