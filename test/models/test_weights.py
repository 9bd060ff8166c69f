"""Loading weights: all or nothing, with the difference named."""

import pytest
import torch

from mlreco.checkpoints import read_checkpoint
from mlreco.errors import UserError
from mlreco.models.chain import Chain
from mlreco.models.weights import load_chain_weights


@pytest.fixture
def checkpoint(tmp_path, model_config):
    torch.manual_seed(1)
    chain = Chain.from_config(model_config)
    path = tmp_path / "chain.ckpt"
    torch.save({"state_dict": chain.state_dict()}, path)
    return path, chain


def loaded(model_config, whole=None):
    torch.manual_seed(2)
    chain = Chain.from_config(model_config)
    return chain, load_chain_weights(chain, whole)


def test_a_checkpoint_of_the_chain_fills_every_stage(checkpoint, model_config):
    path, original = checkpoint
    chain, names = loaded(model_config, path)
    assert set(names) == {"uresnet", "spice"}
    assert all(
        torch.equal(a, b) for a, b in zip(chain.state_dict().values(), original.state_dict().values(), strict=True)
    )


def test_one_stage_alone_from_the_checkpoint_of_a_chain(checkpoint, model_config):
    path, original = checkpoint
    model_config["modules"]["uresnet"] |= {"model_path": str(path), "freeze_weights": True}
    chain, names = loaded(model_config)
    assert names == ("uresnet",)
    assert torch.equal(chain.stages["uresnet"].head[1].weight, original.stages["uresnet"].head[1].weight)
    assert not torch.equal(
        chain.stages["spice"].embedding_head[1].weight, original.stages["spice"].embedding_head[1].weight
    )
    assert not any(p.requires_grad for p in chain.stages["uresnet"].parameters())
    assert not chain.train().stages["uresnet"].training and chain.stages["spice"].training


def test_weights_asked_for_come_before_those_of_the_configuration(checkpoint, model_config, tmp_path):
    path, original = checkpoint
    other = {name: tensor + 1 for name, tensor in original.state_dict().items() if "spice" in name}
    torch.save({"state_dict": other}, tmp_path / "other.ckpt")
    model_config["modules"]["spice"]["model_path"] = str(path)
    model_config["modules"]["uresnet"]["model_path"] = str(path)
    chain, names = loaded(model_config, tmp_path / "other.ckpt")
    assert set(names) == {"uresnet", "spice"}
    expected = original.state_dict() | other
    assert all(torch.equal(tensor, expected[name]) for name, tensor in chain.state_dict().items())


def test_half_precision_weights_are_taken(checkpoint, model_config, tmp_path):
    path, _ = checkpoint
    state = {k: v.half() if v.is_floating_point() else v for k, v in read_checkpoint(path)["state_dict"].items()}
    torch.save({"state_dict": state}, tmp_path / "half.ckpt")
    chain, _ = loaded(model_config, tmp_path / "half.ckpt")
    assert all(p.dtype == torch.float32 for p in chain.parameters())


def test_another_architecture_is_named_and_nothing_is_loaded(checkpoint, model_config):
    path, _ = checkpoint
    model_config["modules"]["spice"]["filters"] = 6
    with pytest.raises(UserError, match=r"chain.ckpt \(stage 'spice'\): weights of another architecture: 'encoder"):
        loaded(model_config, path)
    model_config["modules"]["spice"] |= {"filters": 4, "reps": 2}
    with pytest.raises(UserError, match=r"another architecture: it lacks '.*' \(\d+ missing, 0 unknown\)"):
        loaded(model_config, path)


def test_a_stage_that_the_checkpoint_lacks_is_named(checkpoint, model_config):
    path, _ = checkpoint
    model_config["modules"]["spice"] |= {"model_path": str(path), "model_name": "graph_spice"}
    with pytest.raises(UserError, match=r"no weights of a stage 'graph_spice'; there are: uresnet, spice"):
        loaded(model_config)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_files_that_are_no_checkpoint(tmp_path, content):
    path = tmp_path / "x.ckpt"
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"x.ckpt: not a checkpoint of mlreco"):
        read_checkpoint(path)


def test_a_truncated_checkpoint(checkpoint, tmp_path):
    path, _ = checkpoint
    (tmp_path / "cut.ckpt").write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"cut.ckpt: not a checkpoint of mlreco, or damaged"):
        read_checkpoint(tmp_path / "cut.ckpt")


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
