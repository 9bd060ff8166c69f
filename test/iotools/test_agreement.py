"""Products that belong together agree; a number that changed in one of them is found."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from io_samples import write_events

from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.iotools.agreement import Comparison, compare_products
from mlreco.iotools.conversion import convert
from mlreco.iotools.larcv3 import writer

GENUINE = Path(__file__).parent / "genuine"
TEXTS = (
    "'particle_pcluster' has a row for each set of 'cluster3d_pcluster', or one less",
    "'sparse3d_pcluster_semantics' has the voxels of 'sparse3d_pcluster'",
    "the sets of 'cluster3d_pcluster' lie in the image 'sparse3d_pcluster'",
    "the values of 'cluster3d_pcluster' add up to those of 'sparse3d_pcluster'",
)


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """A file without checksums."""
    monkeypatch.setattr(writer, "CHECKED", {})
    write_events(tmp_path / "events.h5", (30, 0, 1, 50, 20))
    convert(tmp_path / "events.h5", tmp_path / "plain.h5", "cache")
    return tmp_path / "plain.h5"


def test_sound_files_agree(plain):
    for path in (plain, GENUINE / "events.h5", GENUINE / "larcv2.root"):
        if path.suffix == ".root":
            pytest.importorskip("uproot")
        found = compare_products(path)
        assert sorted(one.text for one in found) == sorted(TEXTS)
        assert all(one.events == 5 and not one.others for one in found)


@pytest.mark.parametrize(
    ("table", "column", "text"),
    [
        ("sparse3d_pcluster_group/voxels", "value", TEXTS[3]),
        ("cluster3d_pcluster_group/voxels", "value", TEXTS[3]),
        ("cluster3d_pcluster_group/voxels", "id", TEXTS[2]),
        ("sparse3d_pcluster_semantics_group/voxels", "id", TEXTS[1]),
    ],
)
def test_a_changed_number_is_found(plain, capsys, table, column, text):
    with h5py.File(plain, "a") as file:
        rows = file[f"Data/{table}"]
        values = rows[()]
        if column == "value":
            values[column][40] *= 1.01
        else:
            own = np.flatnonzero(np.isin(np.arange(315), values[column][31:]))
            values[column][45] = next(number for number in range(315) if number not in own)
        rows[...] = values
    other = next(one for one in compare_products(plain) if one.text == text)
    assert other.others == [3] and other.suspicious
    assert main(["info", str(plain), "--check"]) == 2
    told = capsys.readouterr()
    assert f"{text}: 4 of 5 events; not in event 3" in told.out
    assert "plain.h5: event 3: it does not hold that" in told.err


def test_what_holds_in_few_events_is_no_property_of_the_file():
    assert not Comparison("x", 10, list(range(6))).suspicious
    assert Comparison("x", 10, list(range(5))).suspicious
    assert not Comparison("x", 10, []).suspicious


def test_the_command_on_sound_files(plain, capsys):
    assert main(["info", str(plain), "--check"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {text}: 5 of 5 events\n" in told for text in TEXTS)


@pytest.mark.parametrize("table", ["extents", "image_meta", "voxel_extents", "voxels"])
@pytest.mark.parametrize("place", [0, 5, 24, 47])
def test_a_changed_bit_in_a_cache_is_noticed(tmp_path, table, place):
    path = tmp_path / "cache.h5"
    convert(GENUINE / "events.h5", path, "cache")
    with h5py.File(path) as file:
        first = file[f"Data/sparse3d_pcluster_group/{table}"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[first + place] ^= 1 << place % 8
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cache\.h5"):
        compare_products(path)
