"""Training on events that are simulated as it goes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mlreco.config import load_config
from mlreco.errors import UserError
from mlreco.iotools import loader_factory
from mlreco.iotools.dataset import LArCVDataset
from mlreco.training import train

ROOT = Path(__file__).parents[2]
SIMULATION = {"seed": 8, "size": 128, "vertex": [1, 2], "rain": [0, 1]}


def configured(folder, *overrides):
    options = [
        "iotool.batch_size=2",
        "iotool.num_workers=0",
        "iotool.augment={flip: true, permute: true}",
        "iotool.sampler={name: RandomSampler}",
        "iotool.dataset.name=SimulatedDataset",
        f"iotool.dataset.simulation={SIMULATION}",
        "model.modules.spice.filters=4",
        "model.modules.spice.depth=3",
        "model.modules.spice.reps=1",
        "trainval.report_step=1",
        "trainval.iterations=3",
        "trainval.checkpoint_step=2",
        f"trainval.weight_prefix={folder}/snapshot",
        f"trainval.log_dir={folder}/log",
    ]
    return load_config(ROOT / "config" / "spice.cfg", [*options, *overrides])


def batches(config, count, **options):
    with loader_factory(config.iotool, train=True, seed=5, **options) as loader:
        return [batch for batch, _ in zip(loader, range(count), strict=False)]


def test_no_event_comes_twice_and_workers_and_resuming_change_nothing(geant4, tmp_path):
    config = configured(tmp_path)
    alone = batches(config, 4)
    assert np.concatenate([batch["index"] for batch in alone]).tolist() == list(range(8))
    with_workers = batches(configured(tmp_path, "iotool.num_workers=2"), 4)
    resumed = batches(config, 2, start_iteration=2)
    for one, other in [*zip(alone, with_workers, strict=True), *zip(alone[2:], resumed, strict=True)]:
        assert one["event_id"].tolist() == other["event_id"].tolist()
        for key in ("input_data", "cluster_label"):
            assert torch.equal(one[key].coordinates, other[key].coordinates)
            assert torch.equal(one[key].features, other[key].features)


def test_events_are_moved_by_the_augmentation(geant4, tmp_path):
    plain = batches(configured(tmp_path, "iotool.augment=null"), 1)[0]["input_data"]
    moved = batches(configured(tmp_path), 1)[0]["input_data"]
    assert plain.counts == moved.counts
    assert not torch.equal(plain.coordinates, moved.coordinates)
    assert torch.allclose(plain.features.sum(), moved.features.sum())


def test_labels_fit_the_image(geant4, tmp_path):
    batch = batches(configured(tmp_path), 1)[0]
    labels = batch["cluster_label"]
    assert torch.equal(labels.coordinates, batch["input_data"].coordinates)
    assert (labels.column("cluster") >= 0).all() and (labels.column("group") >= 0).all()
    assert (labels.column("interaction") >= 0).all() and (labels.column("interaction") <= 1).all()


def test_a_resumed_training_is_that_of_the_uninterrupted_one(geant4, tmp_path):
    whole = train(configured(tmp_path / "whole"))
    first = train(configured(tmp_path / "parts", "trainval.iterations=2"))
    rest = train(configured(tmp_path / "parts"), resume=first)
    one, other = (torch.load(path, weights_only=True)["state_dict"] for path in (whole, rest))
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(UserError, match=r"simulation\.size was 128 and is 96 now"):
        train(configured(tmp_path / "parts", "iotool.dataset.simulation.size=96", "trainval.iterations=4"), resume=rest)


def test_files_replace_the_simulation(tmp_path):
    """For inference always, for training where they are named."""
    config = configured(tmp_path)
    with loader_factory(config.iotool, train=False) as loader:
        assert isinstance(loader.dataset, LArCVDataset) and not loader.endless
    sample = ROOT / "config" / "sample" / "thin_sample.h5"
    named = load_config(ROOT / "config" / "simulated.cfg", sources=[sample])
    with loader_factory(named.iotool, train=True) as loader:
        assert loader.dataset.files == [sample]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("iotool.dataset.simulation.sead=3", "iotool.dataset.simulation: unknown key 'sead'; did you mean 'seed'"),
        ("iotool.dataset.simulation.mode=[thin, fat]", "a training sees one kind of image"),
        ("iotool.dataset.name=LArCVDataset", "simulation goes with name: SimulatedDataset"),
    ],
)
def test_mistakes_in_the_section(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        configured(tmp_path, override)


def test_what_a_simulation_cannot_give(geant4, tmp_path):
    with pytest.raises(UserError, match="the events have no end: say when to stop"):
        train(configured(tmp_path, "trainval.iterations=null", "trainval.epochs=2"))
    with pytest.raises(UserError, match="'sparse3d_pcluster_semantics' are numbered as in 'pilarnet'"):
        loader_factory(configured(tmp_path).iotool, train=True, class_scheme="mlreco")
    lacking = "iotool.dataset.schema.input_data={parser: parse_sparse3d, args: {sparse_event_list: [sparse3d_other]}}"
    with pytest.raises(UserError, match="'sparse3d_other' is not simulated"):
        loader_factory(configured(tmp_path, lacking).iotool, train=True)
