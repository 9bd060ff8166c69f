"""``iotool.on_error``: what cannot be read is left out, counted and listed; everything else comes as it is."""

import itertools

import h5py
import numpy as np
import pytest
from io_samples import SCHEMA, write_events
from test_damage import source
from test_output import make_event as make_output_event

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer, convert, loader_factory
from mlreco.iotools.skipped import WHOLE_FILE, Skipped, count_text, skipped_lines
from mlreco.voxels import ImageMeta

COUNTS = (30, 5, 1, 50, 12, 7, 20)


def id_out_of_range(path, event=1):
    """Give a voxel of an event an id outside the image; the loader's other events stay sound."""
    with h5py.File(path, "a") as file:
        group = file["Data/sparse3d_pcluster_group"]
        row = int(group["voxel_extents"][int(group["extents"][event]["first"])]["first"])
        group["voxels"][row] = (10**6, 1.0)


def unsound_chunk(path):
    """Flip a bit in the compressed voxels of the energies, which all events of a small file share."""
    with h5py.File(path) as file:
        offset = file["Data/sparse3d_pcluster_group/voxels"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 40] ^= 8
    path.write_bytes(content)


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{name}.h5" for name in "abc"]
    for number, path in enumerate(paths):
        write_events(path, COUNTS, seed=number, run=number)
    return paths


def load(files, **options):
    train = options.pop("train", False)
    dataset = {"data_keys": [str(file) for file in files], "schema": SCHEMA}
    iotool = {"batch_size": 3, "on_error": "skip", "dataset": dataset, **options}
    return loader_factory(iotool, seed=3, train=train, energies="input_data")


def came(batches):
    """Entries (file, event) of batches, and the sum of the energies of each event."""
    found = {}
    for batch in batches:
        voxels = batch["input_data"]
        for number, place in enumerate(batch["source"].tolist()):
            found[tuple(place)] = float(voxels.features[voxels.coordinates[:, 0] == number].sum())
    return found


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_events_between_come_as_if_nothing_had_been(files, workers, batch_size):
    expected = came(load(files, batch_size=batch_size))
    id_out_of_range(files[1], 1)
    id_out_of_range(files[1], 4)
    with load(files, batch_size=batch_size, num_workers=workers) as loader:
        found = came(loader)
        assert {event: found.get(event) for event in expected} == {**expected, (1, 1): None, (1, 4): None}
        assert [(one.file, one.entry) for one in loader.skipped] == [(str(files[1]), 1), (str(files[1]), 4)]
        assert loader.skipped[0].reason.startswith("sparse3d_pcluster: voxel id 1000000 lies outside the image of 9 x")
        assert came(loader) == found and len(loader.skipped) == 2


def test_a_file_that_cannot_be_opened_keeps_its_place_in_the_list(files):
    expected = came(load(files))
    truncated(files[1])
    with pytest.raises(UserError, match=r"b\.h5: the file is truncated"):
        load(files, on_error="raise")
    loader = load(files)
    assert came(loader) == {source: energy for source, energy in expected.items() if source[0] != 1}
    assert loader.skipped == [Skipped(str(files[1]), WHOLE_FILE, "the file is truncated; copy or make it again")]
    files[0].write_text("no events\n")
    files[2].unlink()
    with pytest.raises(UserError, match=r"none of the 3 files can be read; .*a\.h5: no reader for this file"):
        load(files)


def test_a_damaged_chunk_takes_its_events_along(files):
    unsound_chunk(files[2])
    loader = load(files)
    assert {source[0] for source in came(loader)} == {0, 1}
    assert [one.entry for one in loader.skipped] == list(range(len(COUNTS)))
    assert all("cannot be read" in one.reason for one in loader.skipped)


def test_an_id_out_of_range_ends_the_run_unless_it_is_to_be_skipped(files):
    id_out_of_range(files[1], 4)
    with pytest.raises(UserError, match=r"b\.h5: event 4: sparse3d_pcluster: voxel id 1000000"):
        list(load(files, on_error="raise"))
    with pytest.raises(UserError, match=r"iotool\.on_error: no way 'skp'; did you mean 'skip'"):
        load(files, on_error="skp")


@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_and_ends_where_nothing_can_be_read(files, workers):
    id_out_of_range(files[0], 2)
    with load(files[:1], train=True, batch_size=2, num_workers=workers) as loader:
        batches = list(itertools.islice(loader, 8))
        assert sum(len(batch["index"]) for batch in batches) == 16 - 2
        assert [one.entry for one in loader.skipped] == [2]
    for event in range(len(COUNTS)):
        id_out_of_range(files[0], event)
    with (
        load(files[:1], train=True, num_workers=workers) as loader,
        pytest.raises(UserError, match=r"none of the events can be read; .*event 0: sparse3d_pcluster"),
    ):
        next(iter(loader))


def test_the_list_in_the_output_file(tmp_path):
    skipped = [Skipped("a.h5", 3, "voxel (1, 2, 3) has the value nan"), Skipped("µ.h5", WHOLE_FILE, "truncated")]
    rng = np.random.default_rng(0)
    for listed in (skipped, []):
        with HDF5Writer(tmp_path / "out.h5", {}) as writer:
            writer.append(make_output_event(rng, 4))
            writer.list_skipped(listed)
        with HDF5Reader(tmp_path / "out.h5") as reader:
            assert reader.skipped == tuple(listed)
            counts = [reader.info[name] for name in ("events_in", "events_skipped", "files_skipped")]
            assert counts == ([2, 1, 1] if listed else [1, 0, 0])
    with h5py.File(tmp_path / "out.h5", "a") as file:
        del file["skipped"]
    assert HDF5Reader(tmp_path / "out.h5").skipped == ()


def test_words():
    one, file = Skipped.because("a.h5", 3, "a.h5: event 3: x"), Skipped.because("a.h5", WHOLE_FILE, "a.h5: y")
    assert (str(one), str(file)) == ("a.h5: event 3: x", "a.h5: y")
    assert count_text([one, one, file]) == "2 events and 1 file skipped"
    assert (count_text([one]), count_text([])) == ("1 event skipped", "")
    assert list(skipped_lines([one] * 3, 2)) == ["skipped a.h5: event 3: x"] * 2 + ["... and 1 more"]


def test_files_that_do_not_belong_together(tmp_path, files):
    with h5py.File(files[2], "a") as file:
        for product in ("sparse3d_pcluster", "sparse3d_pcluster_semantics", "cluster3d_pcluster"):
            table = file[f"Data/{product}_group/image_meta"]
            rows = table[()]
            rows["image_sizes"] *= 1.5
            table[...] = rows
    message = r"c\.h5: 'sparse3d_pcluster' has voxels of 0.45 x 0.45 x 0.45 cm, and .*a\.h5 of 0.3 x 0.3 x 0.3 cm"
    for on_error in ("raise", "skip"):
        with pytest.raises(UserError, match=message):
            load(files, on_error=on_error)


@pytest.mark.parametrize("kind", ["LArCV2", "LArCV3", "PILArNet-M", "output"])
def test_voxels_of_different_size_in_files_of_any_format(tmp_path, kind):
    other = source(kind, tmp_path)
    mine = tmp_path / "mine.h5"
    write_events(mine, (3,), meta=ImageMeta((9, 7, 5), (0.0, 0.0, 0.0), (0.7, 0.7, 0.7)))
    schema = {"input_data": ["parse_sparse3d", "sparse3d_pcluster"]}
    for pair in ([mine, other], [other, mine]):
        with pytest.raises(UserError, match=f"^{pair[1]}: 'sparse3d_pcluster' has voxels of .* and {pair[0]} of "):
            loader_factory({"dataset": {"data_keys": list(map(str, pair)), "schema": schema}}, train=False)
        with pytest.raises(UserError, match=f"^{pair[1]}: 'sparse3d_pcluster' has voxels of .* and {pair[0]} of "):
            convert(pair, tmp_path / "out.h5", products=["sparse3d_pcluster"])


def test_class_schemes_that_do_not_belong_together(files):
    for path, scheme in ((files[0], "pilarnet"), (files[2], "mlreco")):
        with h5py.File(path, "a") as file:
            file.attrs["class_scheme"] = scheme
    with pytest.raises(UserError, match=r"c\.h5: the classes of '.*' are.* in 'mlreco', and those of .*a\.h5"):
        load(files)
    with pytest.raises(UserError, match=r"c\.h5: the classes of '.*' are.* in 'mlreco', and those of .*a\.h5"):
        convert(files, files[0].with_name("out.h5"))
    list(load(files[:2]))
    with pytest.raises(UserError, match=r"c\.h5: .*'segment_label'.* as in 'mlreco', and model.class_scheme is 'pila"):
        load(files[1:])
    dataset = {"data_keys": [str(files[2])], "schema": SCHEMA}
    loader = loader_factory({"dataset": dataset}, train=False, optional=("segment_label", "cluster_label"))
    assert set(loader.dataset.left_out) == {"segment_label"}
    assert loader.dataset.remarks == ("'cluster_label' is translated from the classes of 'mlreco'",)
