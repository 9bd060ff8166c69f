import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from io_samples import event, particles, write_events
from test_pilarnet_m import make_event as make_pilarnet_m_event
from test_pilarnet_m import write as write_pilarnet_m

from mlreco.errors import UserError
from mlreco.iotools import LArCV3Reader, LArCV3Writer, open_reader
from mlreco.iotools.conversion import convert
from mlreco.iotools.interface import read_product
from mlreco.iotools.larcv3.extension import CHILDREN, EXTENSION

GENUINE = Path(__file__).parent / "genuine"


def assert_equal_events(one, other, names=None):
    assert len(one) == len(other)
    for index in range(len(one)):
        assert one.event_id(index).tolist() == other.event_id(index).tolist()
        for product in names or one.products():
            a, b = read_product(one, index, product), read_product(other, index, product)
            if product.startswith("particle"):
                assert sorted(a.dtype.names) == sorted(b.dtype.names)
                for field in a.dtype.names:
                    assert repr(a[field].tolist()) == repr(b[field].tolist()), field
                continue
            for field in ("coordinates", "values", "features", "sets", "columns"):
                if hasattr(a, field):
                    np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
            assert a.meta == b.meta


@pytest.mark.parametrize("to", ["larcv3", "cache"])
@pytest.mark.parametrize("name", ["larcv2.root", "larcv2_2018.root", "events.h5"])
def test_larcv(tmp_path, name, to):
    if name.endswith("root"):
        pytest.importorskip("uproot")
    done = convert(GENUINE / name, tmp_path / "out.h5", to)
    assert (done.events, done.left_out) == (5, ())
    converted = LArCV3Reader(tmp_path / "out.h5")
    assert converted.products() == done.products
    assert_equal_events(open_reader(GENUINE / name), converted)
    with h5py.File(tmp_path / "out.h5") as file:
        group = file["Data/particle_pcluster_group"]
        assert (EXTENSION in group, CHILDREN in group) == (name != "events.h5", name == "larcv2.root")
        assert group["particles"].compression == ("gzip" if to == "larcv3" else None)
        assert len(file["Events/event_id"]) == 5


def test_pilarnet_m(tmp_path):
    rng = np.random.default_rng(0)
    events = [make_pilarnet_m_event(rng, sizes) for sizes in ((5, 9, 30), (), (0, 4))]
    write_pilarnet_m(tmp_path / "pm.h5", events)
    convert([tmp_path / "pm.h5"], tmp_path / "out.h5")
    source, converted = open_reader(tmp_path / "pm.h5"), open_reader(tmp_path / "out.h5")
    assert_equal_events(source, converted, ["sparse3d_pcluster", "sparse3d_pcluster_semantics", "particle_pcluster"])
    for index in (0, 2):
        a, b = source.cluster3d(index, "pcluster"), converted.cluster3d(index, "pcluster")
        np.testing.assert_array_equal(a.sets, b.sets)
        np.testing.assert_array_equal(a.values, b.values)


def test_several_files_and_chosen_products(tmp_path):
    write_events(tmp_path / "a.h5", (3, 4), run=1)
    write_events(tmp_path / "b.h5", (5,), run=2)
    done = convert([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "out.h5", "cache", ["sparse3d_pcluster"])
    assert (done.events, done.products) == (3, ("sparse3d_pcluster",))
    converted = open_reader(tmp_path / "out.h5")
    assert [converted.event_id(index)[0] for index in range(3)] == [1, 1, 2]
    assert [len(converted.sparse3d(index, "pcluster")) for index in range(3)] == [3, 4, 5]


def test_very_many_files(tmp_path):
    write_events(tmp_path / "a.h5", (3,))
    folder = tmp_path / ("long_" * 48)
    folder.mkdir()
    names = [folder / f"{number}.h5" for number in range(200)]
    for name in names:
        name.symlink_to(tmp_path / "a.h5")
    assert convert(names, tmp_path / "out.h5", products=["sparse3d_pcluster"]).events == 200
    with h5py.File(tmp_path / "out.h5") as file:
        listed = json.loads(file.attrs["source_files"])
    assert listed[:-1] == [str(name) for name in names[: len(listed) - 1]] and len(listed) > 50
    assert listed[-1] == f"... and {200 - len(listed) + 1} more"


def test_the_class_scheme_goes_along(tmp_path):
    rng = np.random.default_rng(0)
    write_pilarnet_m(tmp_path / "pm.h5", [make_pilarnet_m_event(rng, (5, 9))])
    convert(tmp_path / "pm.h5", tmp_path / "out.h5")
    assert open_reader(tmp_path / "out.h5").class_scheme == "mlreco"
    write_events(tmp_path / "a.h5", (3,))
    assert open_reader(tmp_path / "a.h5").class_scheme is None


def test_bad_input_leaves_nothing(tmp_path):
    write_events(tmp_path / "a.h5", (3, 4))
    rng = np.random.default_rng(0)
    with LArCV3Writer(tmp_path / "b.h5") as writer:
        writer.append((1, 2, 3), {"sparse3d_pcluster": event(rng, 5)["sparse3d_pcluster"]})
    before = sorted(tmp_path.iterdir())
    a, b, out = tmp_path / "a.h5", tmp_path / "b.h5", tmp_path / "out.h5"
    with pytest.raises(UserError, match=r"b\.h5: no product 'cluster3d_pcluster', which another file has"):
        convert([a, b], out)
    with pytest.raises(UserError, match=r"no product 'sparse3d_pclusters' that.*; did you mean 'sparse3d_pcluster'"):
        convert(a, out, products=["sparse3d_pclusters"])
    with pytest.raises(UserError, match=r"cannot convert to 'larcv'; did you mean 'larcv3'"):
        convert(a, out, "larcv")
    with pytest.raises(UserError, match=r"a\.h5: is an input of this command"):
        convert(a, a)
    with h5py.File(a, "a") as file:
        file["Data/sparse3d_pcluster_group/voxels"][5] = (10**6, 1.0)
    with pytest.raises(UserError, match=r"a\.h5: event 1: sparse3d_pcluster: voxel id 1000000 lies outside"):
        convert(a, out)
    assert sorted(tmp_path.iterdir()) == before


def test_files_of_both_generations_do_not_mix(tmp_path):
    pytest.importorskip("uproot")
    with pytest.raises(UserError, match=r"larcv2_2018\.root: event 0: cannot be written.*other fields than the first"):
        convert([GENUINE / "larcv2.root", GENUINE / "larcv2_2018.root"], tmp_path / "out.h5")


def test_a_text_that_does_not_fit(tmp_path):
    table = particles(np.random.default_rng(0), 2)
    wide = table.astype([(name, "S80" if name == "process" else table.dtype[name]) for name in table.dtype.names])
    wide["process"] = b"x" * 70
    with (
        pytest.raises(ValueError, match=r"event 0: field 'process' holds a text that does not fit LArCV3's \|S64"),
        LArCV3Writer(tmp_path / "out.h5") as writer,
    ):
        writer.append((0, 0, 0), {"particle_pcluster": wide})


def test_damaged_extension(tmp_path):
    pytest.importorskip("uproot")
    convert(GENUINE / "larcv2.root", tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5", "a") as file:
        file["Data/particle_pcluster_group"][CHILDREN].resize(3, axis=0)
    with pytest.raises(UserError, match=r"event 0: particle_pcluster: points to rows up to 6 of table"):
        LArCV3Reader(tmp_path / "out.h5").particles(0, "pcluster")
    with h5py.File(tmp_path / "out.h5", "a") as file:
        file["Data/particle_pcluster_group"][EXTENSION].resize(3, axis=0)
    with pytest.raises(UserError, match="table 'particles_extension' has 3 rows for"):
        LArCV3Reader(tmp_path / "out.h5").particles(0, "pcluster")
