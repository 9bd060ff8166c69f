"""A network that gets more dimensions for its embedding: the old ones stay, training goes on."""

from pathlib import Path

import torch

from mlreco.checkpoints.file import read_checkpoint
from mlreco.config import load_config
from mlreco.inference import run_inference
from mlreco.iotools import HDF5Reader
from mlreco.training import train

ROOT = Path(__file__).parents[2]
SMALL = "{filters: 4, depth: 3, reps: 1, own_levels: 1, decoder_reps: null, dimensions: DIMENSIONS}"


def configuration(folder, dimensions):
    options = ["iotool.batch_size=1", "iotool.num_workers=0", "trainval.iterations=1"]
    options += [f"model.modules.uresnet_spice={SMALL.replace('DIMENSIONS', str(dimensions))}"]
    options += [f"trainval.weight_prefix={folder}/w{dimensions}/w", f"trainval.log_dir={folder}/log{dimensions}"]
    return load_config(ROOT / "config/uresnet_spice.cfg", options)


def embeddings(folder, dimensions, weights):
    path = folder / f"output_{dimensions}.h5"
    run_inference(configuration(folder, dimensions), path, weights=weights)
    with HDF5Reader(path) as reader:
        return torch.from_numpy(reader[0]["embeddings"]), torch.from_numpy(reader[0]["margins"])


def test_the_first_three_dimensions_and_margins_stay_and_the_new_ones_learn(tool, tmp_path, monkeypatch):
    trained, wide = train(configuration(tmp_path, 3)), tmp_path / "wide.ckpt"
    monkeypatch.setattr("sys.argv", ["widen_embedding", str(trained), str(wide), "--dimensions", "5"])
    assert tool("widen_embedding").main() == 0
    (before, margins), (after, same) = embeddings(tmp_path, 3, trained), embeddings(tmp_path, 5, wide)
    assert after.shape == (len(before), 5)
    torch.testing.assert_close(after[:, :3], before, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(same, margins, rtol=1e-5, atol=1e-6)
    assert (after[:, 3:].std(dim=0) > 0).all()
    name = "stages.uresnet_spice.embedding_head.1.weight"
    learned = read_checkpoint(train(configuration(tmp_path, 5), weights=wide))["state_dict"][name]
    assert ((learned - read_checkpoint(wide)["state_dict"][name])[4:] != 0).any()


def test_fewer_dimensions_and_other_networks_are_refused(tool, tmp_path, monkeypatch, capsys):
    path, output = tmp_path / "w.ckpt", tmp_path / "out.ckpt"
    for weights, message in (
        ({"stages.spice.embedding_head.1.weight": torch.zeros(7, 8)}, "its embedding has 6 dimensions"),
        ({"stages.uresnet.head.1.weight": torch.zeros(5, 8)}, "has no embedding"),
    ):
        torch.save({"state_dict": weights, "iteration": 1}, path)
        monkeypatch.setattr("sys.argv", ["widen_embedding", str(path), str(output)])
        assert tool("widen_embedding").main() == 2
        assert message in capsys.readouterr().err
        assert not output.exists()
