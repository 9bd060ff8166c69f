import itertools
import pickle

import h5py
import numpy as np
import pytest
import torch
from io_samples import META, SCHEMA, write_events

from mlreco.errors import UserError
from mlreco.iotools import LArCVDataset, expand_sources, loader_factory
from mlreco.voxels import ImageMeta, VoxelBatch

COUNTS = (30, 0, 1, 50, 12, 7, 20)
AUGMENT = {"flip": True, "permute": True, "charge_scale": 0.1, "charge_jitter": 0.1}


@pytest.fixture
def files(tmp_path):
    """Two files with images of different size."""
    write_events(tmp_path / "a.h5", COUNTS[:4], seed=1, run=1)
    write_events(
        tmp_path / "b.h5", COUNTS[4:], seed=2, run=2, meta=ImageMeta((11, 6, 8), (5.0, 0.0, 0.0), META.voxel_size)
    )
    return [tmp_path / "a.h5", tmp_path / "b.h5"]


def configuration(files, **options):
    dataset = {"name": "LArCVDataset", "data_keys": [str(file) for file in files], "schema": SCHEMA}
    return {"batch_size": 3, "num_workers": 0, "dataset": dataset, **options}


def same(one, other):
    """Whether two batches are identical, bit for bit."""
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, VoxelBatch):
            assert torch.equal(value.coordinates, other[key].coordinates)
            assert torch.equal(value.features, other[key].features)
            assert (value.columns, value.counts, value.metas) == (
                other[key].columns,
                other[key].counts,
                other[key].metas,
            )
        elif key == "index":
            assert value == other[key]
        else:
            assert np.array_equal(value, other[key])


def test_one_pass_in_order(files):
    loader = loader_factory(configuration(files, shuffle=True, augment=AUGMENT), train=False)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert [batch["index"] for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    counts = [count for batch in batches for count in batch["input_data"].counts]
    assert tuple(counts) == COUNTS
    assert [row for batch in batches for row in batch["event_id"].tolist()] == [
        *([1, 0, number] for number in range(4)),
        *([2, 0, number] for number in range(3)),
    ]
    assert [row for batch in batches for row in batch["source"].tolist()] == [
        *([0, number] for number in range(4)),
        *([1, number] for number in range(3)),
    ]
    voxels = batches[1]["input_data"]
    assert [meta.shape for meta in voxels.metas] == [(9, 7, 5), (11, 6, 8), (11, 6, 8)]
    assert voxels.coordinates.dtype == torch.int64 and voxels.features.dtype == torch.float32
    assert voxels.coordinates[:, 0].tolist() == [0] * 50 + [1] * 12 + [2] * 7
    for key in ("segment_label", "cluster_label"):
        assert torch.equal(batches[1][key].coordinates, voxels.coordinates)
    again = list(loader)
    for one, other in zip(batches, again, strict=True):
        same(one, other)


def test_a_batch_of_empty_events(tmp_path):
    write_events(tmp_path / "x.h5", (0, 0))
    (batch,) = loader_factory(configuration([tmp_path / "x.h5"]), train=False)
    assert batch["input_data"].counts == (0, 0) and batch["input_data"].coordinates.shape == (0, 4)
    assert batch["cluster_label"].features.shape == (0, 7)


@pytest.mark.parametrize("sampler", ["SequentialSampler", "RandomSampler", "RandomSequenceSampler"])
def test_training_resumes_with_identical_batches(files, sampler):
    config = configuration(files, sampler={"name": sampler}, augment=AUGMENT)
    whole = list(itertools.islice(loader_factory(config, seed=5, train=True), 9))
    first = loader_factory(config, seed=5, train=True)
    for one, other in zip(whole[:4], first, strict=False):
        same(one, other)
    for resumed in (
        loader_factory(config, seed=5, train=True, start_iteration=4),
        loader_factory(config, seed=5, train=True),
    ):
        if resumed.iteration == 0:
            resumed.load_state_dict(first.state_dict() | {"iteration": 4})
        for one, other in zip(whole[4:], itertools.islice(resumed, 5), strict=True):
            same(one, other)
    with pytest.raises(UserError, match="seed was 5 and is 6 now"):
        loader_factory(config, seed=6, train=True).load_state_dict(first.state_dict())


def test_workers_give_identical_batches_and_resume(files):
    config = configuration(files, sampler={"name": "RandomSampler"}, augment=AUGMENT)
    whole = list(itertools.islice(loader_factory(config, seed=5, train=True), 9))
    parallel = loader_factory({**config, "num_workers": 2}, seed=5, train=True)
    for number, batch in enumerate(parallel):
        same(whole[number], batch)
        assert parallel.iteration == number + 1
        if number == 3:
            break
    assert parallel.state_dict()["iteration"] == 4
    for expected, batch in zip(whole[4:8], parallel, strict=False):
        same(expected, batch)
    parallel.close()
    same(whole[8], next(iter(parallel)))
    passes = loader_factory({**config, "num_workers": 2}, train=False)
    for one, other in zip(passes, loader_factory(config, train=False), strict=True):
        same(one, other)


def test_augmentation_differs_between_batches_and_seeds(files):
    config = configuration(files[:1], batch_size=4, augment=AUGMENT)
    batches = list(itertools.islice(loader_factory(config, seed=5, train=True), 2))
    other = next(iter(loader_factory(config, seed=6, train=True)))
    energies = [batch["input_data"].features.sum() for batch in (*batches, other)]
    assert len({float(energy) for energy in energies}) == 3
    assert torch.equal(batches[0]["input_data"].coordinates, batches[0]["segment_label"].coordinates)


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_keep_their_one_line(files, workers):
    with h5py.File(files[1], "a") as file:
        table = file["Data/sparse3d_pcluster_group/voxels"]
        rows = table[()]
        rows["value"][13] = np.nan
        table[...] = rows
    with (
        pytest.raises(UserError) as caught,
        loader_factory(configuration(files, num_workers=workers), train=False) as loader,
    ):
        list(loader)
    assert str(caught.value).startswith(f"{files[1]}: event 1: sparse3d_pcluster: voxel (")
    assert "\n" not in str(caught.value)


def test_error_of_a_parser_names_file_event_and_key(files):
    with h5py.File(files[0], "a") as file:
        table = file["Data/particle_pcluster_group/extents"]
        table[3] = (0, 1)
    dataset = LArCVDataset(files, SCHEMA)
    with pytest.raises(UserError, match=r"a.h5: event 3: schema key 'cluster_label': 1 particles for 6 voxel sets"):
        dataset[3]


def test_labels_may_be_missing(files):
    with h5py.File(files[1], "a") as file:
        del file["Data/sparse3d_pcluster_semantics_group"]
    config = configuration(files)
    message = (
        r"b.h5: no product 'sparse3d_pcluster_semantics' \(schema key 'segment_label'\); the file holds cluster3d_"
    )
    with pytest.raises(UserError, match=message):
        loader_factory(config, train=False)
    loader = loader_factory(config, train=False, optional=("segment_label", "cluster_label"))
    assert loader.dataset.keys == ("input_data",)
    assert set(loader.dataset.left_out) == {"segment_label", "cluster_label"}
    assert set(next(iter(loader))) == {"input_data", "index", "event_id", "source"}


def test_selection(files):
    dataset = LArCVDataset(files, SCHEMA, entry_range=[2, 6], event_list=[3, 0])
    assert [dataset.source(index) for index in range(len(dataset))] == [(1, 1), (0, 2)]
    assert dataset.describe(0) == f"{files[1]}: event 1"
    assert len(LArCVDataset(files, SCHEMA, limit_num_files=1)) == 4
    rest = LArCVDataset(files, SCHEMA, entry_range=[2, 6], skip_event_list=[5, 2, 0])
    assert [rest.source(index) for index in range(len(rest))] == [(0, 3), (1, 0)]
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy[0]["event_id"].tolist() == [2, 0, 1]
    with pytest.raises(UserError, match="no event 9; there are 7"):
        LArCVDataset(files, SCHEMA, event_list=[9])
    with pytest.raises(UserError, match="skip_event_list: no event 7; there are 7"):
        LArCVDataset(files, SCHEMA, skip_event_list=[7])
    with pytest.raises(UserError, match="entry_range must be"):
        LArCVDataset(files, SCHEMA, entry_range=[3])
    with pytest.raises(UserError, match="there are no events"):
        LArCVDataset(files, SCHEMA, entry_range=[7, 9])


def test_many_files_are_not_all_kept_open(tmp_path, monkeypatch):
    monkeypatch.setattr("mlreco.iotools.eventfiles._OPEN_FILES", 3)
    paths = [tmp_path / f"{number:03}.h5" for number in range(5)]
    write_events(paths[0], (3,))
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    dataset = LArCVDataset(tmp_path, SCHEMA)
    assert [dataset[index]["source"][0] for index in range(5)] == list(range(5))
    assert len(dataset._files._open) == 3
    dataset[0]
    dataset.close()


def test_file_lists(tmp_path, files):
    (tmp_path / "list.txt").write_text("# training\na.h5\n\nb.h5  # second\n")
    assert expand_sources(tmp_path / "list.txt") == files
    assert expand_sources(str(tmp_path)) == files
    assert expand_sources([str(tmp_path / "*.h5")]) == files
    assert expand_sources(files, 1) == files[:1]
    assert expand_sources("nowhere.h5")[0].name == "nowhere.h5"
    (tmp_path / "empty").mkdir()
    for source, message in (
        (tmp_path / "x*.h5", "no file matches"),
        (tmp_path / "empty", "the folder holds no"),
        (tmp_path / "no.txt", "no such file"),
        ([], "no data files given"),
    ):
        with pytest.raises(UserError, match=message):
            expand_sources(source)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"parser": "parse_sparse", "args": {}}, r"schema.x: no parser 'parse_sparse'; did you mean 'parse_sparse3d"),
        (
            {"parser": "parse_sparse3d", "args": {"sparse_evnt": "sparse3d_a"}},
            "no argument 'sparse_evnt'; did you mean",
        ),
        ({"parser": "parse_sparse3d", "args": {"sparse_event": "particle_a"}}, "not the name of a sparse3d product"),
        ({"parser": "parse_sparse3d", "args": {"sparse_event": ["sparse3d_a", "sparse3d_b"]}}, "takes one product"),
        ({"parser": "parse_sparse3d", "args": {"sparse_event": 3}}, "must be the name of a product"),
        ({"parser": "parse_sparse3d", "arg": {}}, "unknown key 'arg'; did you mean 'args'"),
        ({"parser": "parse_particles"}, "needs the argument 'particle_event'"),
        (["parse_particles", "particle_a", "particle_b"], r"takes no \(further\) product like 'particle_b'"),
        ("parse_sparse3d", "must be {parser: name"),
        ([], "must be {parser: name"),
    ],
)
def test_wrong_schema(files, entry, message):
    with pytest.raises(UserError, match=message) as caught:
        LArCVDataset(files, {"x": entry})
    assert "iotool.dataset.schema.x" in str(caught.value)


def test_both_generations_of_schemas_agree(files):
    old = {
        "input_data": ["parse_sparse3d_scn", "sparse3d_pcluster"],
        "two": ["parse_sparse3d_scn", "sparse3d_pcluster", "sparse3d_pcluster_semantics"],
        "cluster_label": [
            "parse_cluster3d_clean_full",
            "cluster3d_pcluster",
            "particle_pcluster",
            "sparse3d_pcluster_semantics",
            "sparse3d_pcluster",
        ],
        "particles": ["parse_particles", "particle_pcluster", "sparse3d_pcluster"],
    }
    one, other = LArCVDataset(files, old)[3], LArCVDataset(files, SCHEMA)[3]
    for key in ("input_data", "cluster_label"):
        np.testing.assert_array_equal(one[key].features, other[key].features)
    assert one["two"].columns == ("pcluster", "pcluster_semantics")
    (batch, *_) = loader_factory({"batch_size": 4, "dataset": {"data_keys": str(files[0]), "schema": old}}, train=False)
    assert [len(table) for table in batch["particles"]] == [3, 1, 1, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, r"iotool.batch_size must be a whole number of at least 1, not 0"),
        ({"num_workers": "two"}, "iotool.num_workers must be a whole number"),
        ({"collate_fn": "CollateSprse"}, "did you mean 'CollateSparse'"),
        ({"dataset": {"name": "LArCVDatset", "data_keys": ["x"], "schema": SCHEMA}}, "did you mean 'LArCVDataset'"),
        ({"dataset": {"data_key": ["x"]}}, "unknown key 'data_key'; did you mean 'data_keys'"),
        ({"dataset": {"data_keys": ["x"]}}, "iotool.dataset.schema is missing"),
        ({"dataset": None}, "iotool.dataset.data_keys is missing"),
        ({"dataset": {"data_keys": ["nowhere.h5"], "schema": SCHEMA}}, "nowhere.h5: no such file"),
    ],
)
def test_wrong_configuration(files, change, message):
    with pytest.raises(UserError, match=message):
        loader_factory({**configuration(files), **change}, train=True)


def test_sources_replace_the_configured_files(files):
    config = configuration(["nowhere.h5"])
    config["dataset"]["limit_num_files"] = 1
    loader = loader_factory(config, train=False, sources=files)
    assert len(loader.dataset) == 7
    assert config["dataset"]["data_keys"] == ["nowhere.h5"]


def test_negative_energies(files):
    with h5py.File(files[0], "a") as file:
        table = file["Data/sparse3d_pcluster_group/voxels"]
        table[30] = (table[30]["id"], -2.5)
    list(loader_factory(configuration(files), train=False))
    with pytest.raises(
        UserError, match=r"a.h5: event 2: 'input_data': voxel \(\d+, \d+, \d+\) has the negative energy -2.5"
    ):
        list(loader_factory(configuration(files), train=False, energies="input_data"))
