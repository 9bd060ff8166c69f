"""Weights as they are shipped: small, and with the history of their training."""

import json
from pathlib import Path

import torch

from mlreco.checkpoints.file import read_checkpoint
from mlreco.checkpoints.metadata import metadata_of
from mlreco.config import load_config
from mlreco.inference import run_inference
from mlreco.iotools import HDF5Reader
from mlreco.recipes import read_recipe
from mlreco.semantics import PILARNET
from mlreco.training import train

ROOT = Path(__file__).parents[2]
SMALL = "model.modules.uresnet_spice={filters: 4, depth: 3, reps: 1, own_levels: 1, decoder_reps: null}"

BOMB = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))])


def test_shipped_weights_compute_what_the_trained_ones_do(tool, tmp_path, monkeypatch):
    options = ["iotool.batch_size=1", "iotool.num_workers=0", "trainval.iterations=1", SMALL]
    options += [f"trainval.weight_prefix={tmp_path}/private/w", f"trainval.log_dir={tmp_path}/private/log"]
    config = load_config(ROOT / "config/uresnet_spice.cfg", options)
    trained = train(config)
    monkeypatch.setattr("sys.argv", ["release_weights", str(trained), str(tmp_path / "shipped.ckpt")])
    assert tool("release_weights").main() == 0
    before, after = read_checkpoint(trained), read_checkpoint(tmp_path / "shipped.ckpt")
    assert (tmp_path / "shipped.ckpt").stat().st_size < trained.stat().st_size / 3
    for name, tensor in after["state_dict"].items():
        torch.testing.assert_close(
            tensor.to(before["state_dict"][name].dtype), before["state_dict"][name], rtol=1e-3, atol=1e-6
        )
    found = metadata_of(after, "shipped.ckpt")
    assert str(tmp_path) not in after["metadata"] + after["config"]
    assert found.data.files == ("thin_sample.h5",)
    assert found.history[-1].last_iteration == 1 and found.history[-1].host == ""
    assert read_recipe(tmp_path / "shipped.ckpt").config.model.modules["uresnet_spice"]["depth"] == 3
    run_inference(config, tmp_path / "output.h5", weights=tmp_path / "shipped.ckpt")
    with HDF5Reader(tmp_path / "output.h5") as reader:
        assert len(reader[0]["fragments"]) == len(reader[0]["embeddings"])


def test_what_is_no_checkpoint_and_its_own_place_are_refused(tool, tmp_path, monkeypatch, capsys):
    path = tmp_path / "w.ckpt"
    torch.save({"state_dict": {}, "iteration": 1}, path)
    for text, config in (("its configuration:1: aliases", BOMB), ("is an input of this command", "model: {}")):
        metadata = {"config": config, "class_scheme": "pilarnet", "classes": list(PILARNET.classes)}
        torch.save({"state_dict": {}, "iteration": 1, "metadata": json.dumps(metadata)}, path)
        content = path.read_bytes()
        monkeypatch.setattr("sys.argv", ["release_weights", str(path), str(path)])
        assert tool("release_weights").main() == 2
        assert text in capsys.readouterr().err
        assert path.read_bytes() == content
