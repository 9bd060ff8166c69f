"""Batch normalisation over the voxels of several processes: the numbers of one process that has them all."""

import pytest
import torch
from test_team import finished, torchrun
from test_training import rows, tiny_config
from torch import nn

from mlreco.checkpoints import read_checkpoint
from mlreco.errors import UserError
from mlreco.sparse import VoxelBatchNorm
from mlreco.training import train
from mlreco.training.synced_norms import SyncedNorms


class _Alone:
    """A meeting of one process."""

    def total(self, sums):
        return sums


class _Beside:
    """A meeting with a process that has other voxels; what that one knows does not depend on ours."""

    def __init__(self, others):
        wide = others.double()
        self.sums = torch.cat([wide.new_full((1,), len(wide)), wide.sum(0), wide.square().sum(0)])

    def total(self, sums):
        return sums + self.sums


def pair_of_norms(meeting):
    torch.manual_seed(0)
    ours, torchs = VoxelBatchNorm(5), nn.BatchNorm1d(5)
    for norm in (ours, torchs):
        nn.init.uniform_(norm.weight, 0.5, 2.0, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(norm.bias, generator=torch.Generator().manual_seed(2))
    ours.meeting = meeting
    return ours, torchs


@pytest.mark.parametrize("kept", [0, 1, 7, 40])
def test_voxels_of_two_processes_are_normalised_as_those_of_one(kept):
    """``kept`` of 40 voxels are ours; the gradient of a loss of ours alone is that of torch's whole batch."""
    features = 30.0 + 3.0 * torch.randn(40, 5, generator=torch.Generator().manual_seed(3))
    ours, torchs = pair_of_norms(_Beside(features[kept:]))
    mine, whole = (part.clone().requires_grad_() for part in (features[:kept], features))
    slopes = torch.randn(kept, 5, generator=torch.Generator().manual_seed(4))
    found, expected = ours(mine), torchs(whole)[:kept]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    (found * slopes).sum().backward()
    (expected * slopes).sum().backward()
    torch.testing.assert_close(mine.grad, whole.grad[:kept], rtol=1e-4, atol=1e-5)
    for name, value in torchs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    for name in ("weight", "bias"):
        torch.testing.assert_close(getattr(ours, name).grad, getattr(torchs, name).grad, rtol=1e-4, atol=1e-4)


def test_the_gradient_is_that_of_the_function():
    norm, _ = pair_of_norms(_Alone())
    norm.double()
    assert torch.autograd.gradcheck(norm, torch.randn(6, 5, dtype=torch.float64, requires_grad=True))


def test_one_voxel_of_all_processes_is_normalised_with_the_running_statistics():
    norm, _ = pair_of_norms(_Alone())
    before = norm.running_mean.clone(), norm.running_var.clone()
    features = torch.randn(1, 5)
    expected = features / (1 + norm.eps) ** 0.5 * norm.weight + norm.bias
    torch.testing.assert_close(norm(features), expected)
    assert torch.equal(norm.running_mean, before[0]) and torch.equal(norm.running_var, before[1])


def test_a_normalisation_that_cannot_meet_is_refused():
    with pytest.raises(UserError, match=r"trainval.sync_batch_norm: '1' is a BatchNorm2d"):
        SyncedNorms(nn.Sequential(VoxelBatchNorm(2), nn.BatchNorm2d(2)))


def test_two_processes_train_as_one_with_their_events_would(tmp_path):
    """In the first pass both have an event, in the second one of them stands in for nothing."""
    plain = "trainval.optimizer={name: SGD, args: {lr: 0.05}}"  # Adam makes a step of what is 0 but for rounding
    common = ["iotool.sampler={name: SequentialSampler}", "iotool.batch_size=3", "trainval.iterations=3", plain]
    common += ["iotool.augment=null"]  # it depends on the place in the batch
    together = ["iotool.dataset.event_list=[4, 7, 9]", "iotool.minibatch_size=1", "trainval.sync_batch_norm=true"]
    alone = ["iotool.dataset.event_list=[4, 9, 7]", "iotool.minibatch_size=2"]
    finished(torchrun(tmp_path / "two", *common, *together))
    train(tiny_config(tmp_path / "one", *common, *alone))
    two, one = (read_checkpoint(tmp_path / name / "weights/snapshot-3.ckpt")["state_dict"] for name in ("two", "one"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=2e-3, atol=2e-5, msg=name)
    logs = [rows(tmp_path / f"{name}/log/train_log-0000000.csv") for name in ("two", "one")]
    for ours, single in zip(*logs, strict=True):
        for name in ("loss", "spice_mask", "spice_accuracy", "gradient_norm"):
            assert float(ours[name]) == pytest.approx(float(single[name]), rel=1e-3), name
