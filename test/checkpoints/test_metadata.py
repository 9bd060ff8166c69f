"""What a checkpoint tells about itself: new ones all, older ones what they can."""

import math
import os
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from mlreco.checkpoints import Metadata, Quantiles, Run, metadata_of, read_metadata
from mlreco.checkpoints.fingerprint import fingerprint
from mlreco.checkpoints.text import checkpoint_lines
from mlreco.config import load_config
from mlreco.errors import UserError
from mlreco.iotools import LArCVDataset
from mlreco.models.assembly import build_chain
from mlreco.recipes import read_recipe
from mlreco.training import train

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "config/sample/thin_sample.h5"
TINY = [
    "iotool.batch_size=2",
    "iotool.num_workers=0",
    "model.modules.spice={filters: 4, depth: 2, reps: 1, semantics: true}",
]


def tiny_config(folder, *overrides):
    places = [f"trainval.weight_prefix={folder}/w/s", f"trainval.log_dir={folder}/log"]
    return load_config(ROOT / "config/spice.cfg", [*TINY, *places, *overrides])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of a training of two runs."""
    folder = tmp_path_factory.mktemp("trained")
    train(tiny_config(folder, "trainval.iterations=1"))
    return train(tiny_config(folder, "trainval.iterations=3"), resume="latest")


def test_a_checkpoint_carries_its_recipe(trained):
    found = read_metadata(trained)
    assert found.class_scheme == "pilarnet" and found.classes == ("HIP", "MIP", "Shower", "Delta", "Michel")
    assert found.versions["torch"] == version("torch")
    assert [(run.first_iteration, run.last_iteration, run.resumed) for run in found.history] == [
        (0, 1, False),
        (1, 3, True),
    ]
    assert found.history[1].begun_from.endswith("s-1.ckpt") and found.history[1].seconds > 0
    config = read_recipe(trained).config
    assert config.model.modules.spice.filters == 4 and config.trainval.iterations == 3
    build_chain(config, trained)


def test_events_in_files_whose_names_are_no_utf8(tmp_path):
    odd = shutil.copy(SAMPLE, tmp_path / os.fsdecode(b"caf\xe9.h5"))
    settings = [*TINY, f"trainval.weight_prefix={tmp_path}/w/s", f"trainval.log_dir={tmp_path}/log"]
    train(load_config(ROOT / "config/spice.cfg", [*settings, "trainval.iterations=1"], sources=[odd]))
    again = load_config(ROOT / "config/spice.cfg", [*settings, "trainval.iterations=2"], sources=[odd])
    found = read_metadata(train(again, resume="latest"))
    assert found.data is not None and found.data.files == (str(tmp_path / r"caf\udce9.h5"),)


def test_the_fingerprint_is_that_of_the_events(trained):
    data = read_metadata(trained).data
    config = load_config(ROOT / "config/spice.cfg", TINY)
    events = LArCVDataset([SAMPLE], config.iotool.dataset.schema)
    images = [events[index]["input_data"] for index in range(20)]
    assert (data.events, data.sampled) == (20, 20)
    assert data.voxel_size == pytest.approx((0.3, 0.3, 0.3)) and data.image_shapes == ((512, 512, 512),)
    assert data.voxels_per_event.at(0.5) == np.median([len(image) for image in images])
    energies = np.concatenate([image.features[:, 0] for image in images])
    assert data.energy_per_voxel.at(0.95) == pytest.approx(np.quantile(energies.astype(float), 0.95))
    assert data.digest == fingerprint(events, "input_data").digest
    assert (
        data.digest
        != fingerprint(LArCVDataset([SAMPLE], config.iotool.dataset.schema, entry_range=[0, 19]), "input_data").digest
    )


def test_events_without_end_are_told_as_that(trained, tmp_path):
    content = torch.load(trained, weights_only=True)
    told = metadata_of(content, trained)
    assert "training events: 20, sha256" in "\n".join(checkpoint_lines(trained))
    events = LArCVDataset([SAMPLE], load_config(ROOT / "config/spice.cfg", TINY).iotool.dataset.schema)
    events.endless = True  # as those that are simulated
    data = fingerprint(events, "input_data", sampled=2)
    torch.save(content | {"metadata": told.model_copy(update={"data": data}).model_dump_json()}, tmp_path / "e.ckpt")
    assert "training events: endless, sha256" in "\n".join(checkpoint_lines(tmp_path / "e.ckpt"))


def test_a_new_training_from_weights_tells_where_they_come_from(trained, tmp_path):
    found = read_metadata(train(tiny_config(tmp_path, "trainval.iterations=1"), weights=trained))
    assert [run.last_iteration for run in found.history] == [1, 3, 1]
    assert found.history[-1].begun_from == str(trained) and not found.history[-1].resumed


def test_older_checkpoints_tell_what_they_can(trained, tmp_path):
    content = torch.load(trained, weights_only=True)
    del content["metadata"]
    found = metadata_of(content, trained)
    assert found.class_scheme == "pilarnet" and found.data is None and found.history == ()
    assert metadata_of({"state_dict": {}}, "x") == Metadata()
    torch.save(content, tmp_path / "older.ckpt")
    assert read_recipe(tmp_path / "older.ckpt").config.model.modules.spice.filters == 4
    del content["config"]
    torch.save(content, tmp_path / "oldest.ckpt")
    with pytest.raises(UserError, match=r"oldest.ckpt: holds weights without a configuration"):
        read_recipe(tmp_path / "oldest.ckpt")


def test_an_older_training_goes_on(trained, tmp_path, capsys):
    content = torch.load(trained, weights_only=True)
    optimizer = {"name": "Adam", "args": {"lr": 0.005}}
    content |= {"recipe": {"optimizer": optimizer, "lr_scheduler": None, "max_grad_norm": None, "freeze": []}}
    del content["metadata"], content["batches"]["minibatch_size"]
    torch.save(content, tmp_path / "old.ckpt")
    last = train(tiny_config(tmp_path, "trainval.iterations=4"), resume=tmp_path / "old.ckpt")
    assert read_metadata(last).history[-1].first_iteration == 3
    assert "does not tell its events" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"trainval.optimizer.args.lr was 0.005 and is 0.1 now"):
        config = tiny_config(tmp_path, "trainval.iterations=4", "trainval.optimizer.args.lr=0.1")
        train(config, resume=tmp_path / "old.ckpt")


def test_shipped_weights_tell_their_classes():
    for path in (ROOT / "config/weights").glob("*.ckpt"):
        assert read_metadata(path).class_scheme == "pilarnet"


def test_what_is_told_survives_as_text():
    run = Run(first_iteration=0, last_iteration=2, started="2026-01-01")
    told = Metadata(
        numbers={"loss": math.nan, "accuracy": 0.1}, settings={"a.b": math.inf, "c": [1, None]}, history=(run,)
    )
    found = Metadata.model_validate_json(told.model_dump_json())
    assert math.isnan(found.numbers["loss"]) and found.settings == told.settings and found.history == told.history
    assert Quantiles(probabilities=(0.0, 1.0), values=(2.0, 3.0)).at(1.0) == 3.0
    assert Quantiles(probabilities=(0.0, 1.0), values=(2.0, 3.0)).at(0.25) == 2.25


@pytest.mark.parametrize("text", ["{", "[]", '{"history": [{"first_iteration": -1}]}', 3])
def test_damaged_metadata_is_named(text):
    with pytest.raises(UserError, match=r"x.ckpt: metadata"):
        metadata_of({"metadata": text}, "x.ckpt")


@pytest.mark.parametrize("key", ["iteration", "random", "batches", "seed", "scheduler"])
def test_a_missing_key_is_named(trained, tmp_path, key):
    content = torch.load(trained, weights_only=True)
    del content[key]
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=rf"x.ckpt: '{key}': Field required"):
        train(tiny_config(tmp_path, "trainval.iterations=4"), resume=tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    "changes",
    [
        {"iteration": -1},
        {"iteration": "3"},
        {"random": {}},
        {"random": {"torch": torch.zeros(3), "python": 1, "numpy": 2}},
        {"optimizer": {}},
        {"optimizer": {"state": {0: {"step": torch.zeros(()), "exp_avg": torch.zeros(1, 2)}}, "param_groups": []}},
        {"batches": {}},
        {"batches": {"iteration": "x"}},
        {"seed": 1.5},
    ],
)
def test_a_changed_training_state_is_refused(trained, tmp_path, changes):
    torch.save(torch.load(trained, weights_only=True) | changes, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"x.ckpt|cannot continue"):
        train(tiny_config(tmp_path, "trainval.iterations=4"), resume=tmp_path / "x.ckpt")


def test_weights_of_another_scheme_are_refused_or_told(trained, tmp_path, capsys):
    other = "model.class_scheme=mlreco"
    no_thresholds = "post_processing={dbscan: {}}"
    with pytest.raises(UserError, match=r"trained in the class scheme 'pilarnet', and model.class_scheme is 'mlreco'"):
        build_chain(tiny_config(tmp_path, other, no_thresholds), trained)
    build_chain(tiny_config(tmp_path, other, no_thresholds), trained, to_train=True)
    assert "the training has to learn the classes anew" in capsys.readouterr().err
    with pytest.raises(UserError, match="every class would get another's name"):
        frozen = "model.modules.spice.freeze_weights=true"
        build_chain(tiny_config(tmp_path, other, no_thresholds, frozen), trained, to_train=True)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(trained, tmp_path, value):
    content = torch.load(trained, weights_only=True)
    name = next(key for key in content["state_dict"] if key.endswith("running_var"))
    content["state_dict"][name][0] = value
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=rf"x.ckpt .*'{name.removeprefix('stages.spice.')}' is not finite"):
        build_chain(tiny_config(tmp_path), tmp_path / "x.ckpt")


def test_integer_weights_are_refused(trained, tmp_path):
    content = torch.load(trained, weights_only=True)
    name = next(key for key in content["state_dict"] if key.endswith("weight"))
    content["state_dict"][name] = content["state_dict"][name].to(torch.int32)
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"holds numbers of type torch.int32, where torch.float32 is right"):
        build_chain(tiny_config(tmp_path), tmp_path / "x.ckpt")
