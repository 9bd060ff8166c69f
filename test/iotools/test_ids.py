"""Ids that are not set, and ids that must stay exact through tables, parsers, conversions and batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from io_samples import META, event, write_events

from mlreco.errors import UserError
from mlreco.iotools import CollateSparse, LArCV3Reader, LArCV3Writer
from mlreco.iotools.conversion import convert
from mlreco.iotools.ids import SENTINELS, event_numbers, known_ids, unset_ids
from mlreco.iotools.interface import ClusterVoxels
from mlreco.iotools.larcv3.layout import PARTICLE
from mlreco.iotools.parsers import parse_cluster3d_clean_full
from mlreco.voxels import EventVoxels, ImageMeta

INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


@pytest.mark.parametrize("kind", INTEGERS)
def test_the_largest_number_of_every_type_and_of_narrower_ones_is_no_id(kind):
    limits = np.iinfo(kind)
    tops = sorted({top for top in (*SENTINELS, limits.max) if top <= limits.max})
    sound = [number for number in (0, 1, 100, 127, 254, 32766, 70000, 2**31, 2**53 + 1) if number <= limits.max]
    sound = [number for number in sound if number not in tops]
    column = np.array([*tops, *sound, *([-1, limits.min] if kind[0] == "i" else [])], kind)
    found = known_ids(column, "id")
    assert found.dtype == np.int64
    assert found.tolist() == [-1] * len(tops) + sound + [-1] * (2 if kind[0] == "i" else 0)


@given(st.sampled_from(INTEGERS), st.data())
def test_ids_are_those_of_plain_integers(kind, data):
    limits = np.iinfo(kind)
    numbers = data.draw(st.lists(st.integers(limits.min, min(limits.max, 2**63 - 1)), max_size=20))
    column = np.array(numbers, kind)
    plain = [-1 if n < 0 or n == limits.max or n in SENTINELS else n for n in numbers]
    assert known_ids(column, "id").tolist() == plain
    assert unset_ids(column).tolist() == [n == -1 for n in plain]
    for wider in ("i8", "u8"):
        if all(n >= 0 for n in numbers) and limits.max not in (127, 255, 32767):
            assert known_ids(column.astype(wider), "id").tolist() == plain


def test_floats_as_ids():
    column = np.array([0, 3, -1, np.nan, np.inf, 2**31 - 1, 2**32 - 1, 2.0**63], np.float64)
    assert known_ids(column, "id").tolist() == [0, 3, -1, -1, -1, -1, -1, -1]
    with pytest.raises(ValueError, match="'group' holds ids that are no whole numbers"):
        known_ids(np.array([0.5]), "group")


def test_numbers_that_no_integer_here_can_hold():
    with pytest.raises(ValueError, match="'id' holds the id 9223372036854775808"):
        known_ids(np.array([2**63], np.uint64), "id")
    with pytest.raises(ValueError, match="'run' holds 9223372036854775808"):
        event_numbers(np.array([2**63], np.uint64), "run")
    assert event_numbers(np.array([2**64 - 1, 65535, 2**63 - 1], np.uint64), "run").tolist() == [-1, 65535, 2**63 - 1]


def two_instances():
    meta, places = ImageMeta((64,) * 3), np.array([[1, 1, 1], [9, 9, 9]], np.int32)
    sets = ClusterVoxels(places, np.ones(2, np.float32), np.arange(2, dtype=np.int32), 2, meta)
    return sets, EventVoxels(places, np.ones((2, 1), np.float32), ("pcluster_semantics",), meta)


@pytest.mark.parametrize("kind", ["<u4", "<i8", "<u8", ">u8"])
@pytest.mark.parametrize("first", [2**24, 1_000_000_001, 2**31, 2**52])
def test_labels_keep_ids_exactly(kind, first):
    if first + 1 > np.iinfo(kind).max:
        pytest.skip("too large for the type")
    sets, image = two_instances()
    particles = np.zeros(2, [("group_id", kind), ("interaction_id", kind)])
    particles["group_id"] = particles["interaction_id"] = first, first + 1
    table = parse_cluster3d_clean_full(sets, particles, None, image)
    batch = CollateSparse()([{"labels": table}, {"labels": table}])["labels"]
    for name in ("group", "interaction"):
        assert table.column(name).astype(np.int64).tolist() == [first, first + 1]
        assert batch.column(name).long().tolist() == [first, first + 1] * 2
    for name in ("particle_type", "primary"):
        assert table.column(name).tolist() == [-1, -1]


def test_an_id_that_labels_cannot_hold_is_named():
    sets, image = two_instances()
    particles = np.zeros(2, [("group_id", "<u8")])
    particles["group_id"] = 5, 2**53 + 1
    with pytest.raises(UserError, match="'group_id' holds the id 9007199254740993"):
        parse_cluster3d_clean_full(sets, particles, None, image)


def test_a_table_without_optional_columns():
    sets, image = two_instances()
    table = parse_cluster3d_clean_full(sets, np.zeros(2, [("dist_travel", "<f8")]), None, image)
    for name in ("group", "interaction", "particle_type", "primary"):
        assert table.column(name).tolist() == [-1, -1]
    assert table.column("cluster").tolist() == [0, 1]


WIDER = {"id": "<u8", "trackid": "<i8", "pdg": "<i8"}
WIDE = np.dtype(
    [
        *((name, WIDER.get(name, PARTICLE[name])) for name in PARTICLE.names),
        ("group_id", "<u8"),
        ("children_id", "<i8", (2,)),
    ]
)


def wide_particles(rng, count):
    table = np.zeros(count, WIDE)
    ids = [0, 5, 65534, 65535, 70000, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
    table["id"] = rng.choice(np.array(ids, np.uint64), count)
    table["trackid"] = rng.choice([-1, 0, 7, 2**31, 2**32, 2**62], count)
    table["pdg"] = rng.choice([13, -11, 1000180400, 2**31], count)
    table["group_id"] = rng.choice(np.array([0, 1, 2**33, 2**64 - 1], np.uint64), count)
    table["children_id"] = rng.choice([-1, 3, 70001], (count, 2))
    table["children_id"].sort(axis=1)
    table["children_id"] = table["children_id"][:, ::-1]
    table["process"] = b"muIoni"
    return table


def test_a_conversion_keeps_every_id(tmp_path):
    rng = np.random.default_rng(0)
    tables = [wide_particles(rng, count) for count in (5, 0, 40)]
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    with LArCV3Writer(first) as writer:
        for number, table in enumerate(tables):
            writer.append((1, 0, number), {"particle_pcluster": table})
    convert(first, second)
    for path in (first, second):
        reader = LArCV3Reader(path)
        for number, table in enumerate(tables):
            found = reader.particles(number, "pcluster")
            for name in WIDE.names:
                width = found[name].shape[-1]
                expected = table[name] if name != "children_id" else table[name][:, :width]
                np.testing.assert_array_equal(found[name], expected, err_msg=name)
        reader.close()


def test_what_the_larcv_library_sees_of_wide_ids(tmp_path):
    import h5py

    table = np.zeros(4, WIDE)
    table["id"] = 5, 65535, 70000, 2**64 - 1
    with LArCV3Writer(tmp_path / "x.h5") as writer:
        writer.append((1, 0, 0), {"particle_pcluster": table})
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["Data/particle_pcluster_group/particles"]["id"].tolist() == [5, 65535, 65535, 65535]


def test_columns_that_a_source_lacks_are_not_set_in_the_copy(tmp_path):
    """A column of zeros would put all particles into one group."""
    table = np.zeros(3, [("pdg", "<i4")])
    table["pdg"] = 13, 22, 11
    with LArCV3Writer(tmp_path / "x.h5") as writer:
        writer.append((1, 0, 0), {"particle_pcluster": table})
    found = LArCV3Reader(tmp_path / "x.h5").particles(0, "pcluster")
    assert found["pdg"].tolist() == [13, 22, 11]
    for name in ("id", "mcst_index", "mct_index", "trackid", "parent_trackid"):
        assert unset_ids(found[name]).all()
    assert np.isnan(found["px"]).all() and np.isnan(found["vtx"]["x"]).all()
    assert (found["process"] == b"").all()


def test_classes_that_are_no_classes(tmp_path):
    from mlreco.iotools import LArCVDataset

    for bad in (2.5, 300.0, -2.0, 1e30):
        path = tmp_path / f"{bad}.h5"
        products = event(np.random.default_rng(0), 20)
        classes = products["sparse3d_pcluster_semantics"]
        classes.features[3, 0] = bad
        with LArCV3Writer(path) as writer:
            writer.append((1, 0, 0), products)
        dataset = LArCVDataset(path, {"labels": ["parse_sparse3d_scn", "sparse3d_pcluster_semantics"]})
        with pytest.raises(UserError, match=r"event 0: sparse3d_pcluster_semantics: voxel .* has the class"):
            dataset[0]


def test_ids_of_old_files_are_in_the_small_columns(tmp_path):
    write_events(tmp_path / "x.h5", meta=META)
    reader = LArCV3Reader(tmp_path / "x.h5")
    assert reader.particles(0, "pcluster").dtype == PARTICLE
