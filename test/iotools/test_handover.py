"""What a batch is made of arrives, through shared memory or through a pipe."""

import pickle
from dataclasses import fields, is_dataclass

import pytest
import torch

from mlreco.graph_batch import GraphBatch, GraphTruth
from mlreco.iotools import handover
from mlreco.iotools.handover import _Piped, packed, unpacked
from mlreco.voxels import ImageMeta, VoxelBatch


def graphs(truth):
    whole, real = torch.arange(5), torch.rand(5, 3)
    edges = torch.tensor([[0, 1], [3, 4]])
    return GraphBatch(real, edges, torch.rand(2, 4), whole, whole + 1, (2, 0, 3), (1, 0, 1), truth)


BATCH = {
    "voxels": VoxelBatch(torch.ones(4, 4).long(), torch.rand(4, 2), ("a", "b"), (4, 0), (ImageMeta((8, 8, 8)),) * 2),
    "labels": VoxelBatch(torch.ones(4, 4).long(), torch.full((4, 1), 2.0**53 - 1).double(), ("id",), (4, 0), ()),
    "nothing": VoxelBatch(torch.ones(0, 4).long(), torch.rand(0, 1), ("a",), (0,), ()),
    "graphs": graphs(GraphTruth(*(torch.arange(5) - number for number in range(5)))),
    "unlabelled": graphs(None),
    "index": [3, 9],
}


def leaves(blob):
    for field in fields(blob):
        value = getattr(blob, field.name)
        yield from leaves(value) if is_dataclass(value) else [(field.name, value)]


@pytest.mark.parametrize("is_full", [False, True])
def test_a_batch_arrives_as_it_was(monkeypatch, is_full):
    def share(tensor):
        if is_full:
            raise RuntimeError("unable to allocate shared memory(shm)")
        return tensor

    monkeypatch.setattr(torch.Tensor, "share_memory_", share)
    monkeypatch.setattr(handover, "get_worker_info", lambda: "a worker")
    sent = packed(BATCH)
    assert [isinstance(blob, _Piped) for blob in sent.values()] == [*[is_full] * 5, False]
    found = unpacked(pickle.loads(pickle.dumps(sent)))
    assert found.keys() == BATCH.keys() and found["index"] == [3, 9]
    for key in list(BATCH)[:5]:
        assert type(found[key]) is type(BATCH[key])
        for (name, one), (_, other) in zip(leaves(found[key]), leaves(BATCH[key]), strict=True):
            if isinstance(other, torch.Tensor):
                assert one.dtype == other.dtype and torch.equal(one, other), (key, name)
            else:
                assert one == other, (key, name)
