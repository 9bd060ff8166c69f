"""The mean of two checkpoints: of all numbers, with what it was made of in its history."""

import pytest
import torch

from mlreco.checkpoints.file import read_checkpoint, write_checkpoint
from mlreco.checkpoints.metadata import Metadata, Run, metadata_of


def checkpoint(path, weights, **more):
    run = Run(first_iteration=0, last_iteration=7, started="2026-11-27T12:00:00", begun_from="first.ckpt")
    content = {"state_dict": weights, "iteration": 7, "metadata": Metadata(history=(run,)).model_dump_json()}
    write_checkpoint(path, {**content, **more})
    return path


def average(tool, monkeypatch, before, after, part, output):
    monkeypatch.setattr("sys.argv", ["average_weights", *map(str, (before, after, part, output))])
    return tool("average_weights").main()


def test_weights_are_the_mean_and_counts_those_of_the_training(tool, tmp_path, monkeypatch):
    torch.manual_seed(0)
    one, other = torch.randn(3, 4).half(), torch.randn(3, 4)
    before = checkpoint(tmp_path / "first.ckpt", {"w": one, "count": torch.tensor(3)})
    after = checkpoint(
        tmp_path / "last.ckpt", {"w": other, "count": torch.tensor(9)}, mlreco_version="x", optimizer={"lr": 1.0}
    )
    output = tmp_path / "mean.ckpt"
    assert average(tool, monkeypatch, before, after, 0.75, output) == 0
    found = read_checkpoint(output)
    torch.testing.assert_close(found["state_dict"]["w"], 0.25 * one.float() + 0.75 * other)
    assert found["state_dict"]["count"] == 9
    assert found["iteration"] == 7
    assert found["mlreco_version"] == "x"
    assert "optimizer" not in found, "it is of other weights"
    run = metadata_of(found, output).history[-1]
    assert (run.averaged_with, run.begun_from) == ("0.25 of first.ckpt", "first.ckpt")


def test_a_file_without_weights_is_refused(tool, tmp_path, monkeypatch, capsys):
    before, after = tmp_path / "first.ckpt", checkpoint(tmp_path / "last.ckpt", {"w": torch.zeros(3)})
    write_checkpoint(before, {"iteration": 1})
    assert average(tool, monkeypatch, before, after, 0.5, tmp_path / "mean.ckpt") == 2
    assert "first.ckpt: not a checkpoint of mlreco" in capsys.readouterr().err


@pytest.mark.parametrize(("part", "shape", "message"), [(1.5, 3, "the part is 1.5"), (0.5, 4, "different networks")])
def test_other_networks_and_parts_are_refused(tool, tmp_path, monkeypatch, capsys, part, shape, message):
    before = checkpoint(tmp_path / "first.ckpt", {"w": torch.zeros(3)})
    after, output = checkpoint(tmp_path / "last.ckpt", {"w": torch.zeros(shape)}), tmp_path / "mean.ckpt"
    assert average(tool, monkeypatch, before, after, part, output) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()
