"""Batches between devices."""

import pytest
import torch
from conftest import make_batch

from mlreco.devices import upload
from mlreco.graph_batch import GraphBatch, GraphTruth
from mlreco.models.finite import not_finite
from mlreco.models.labels import Labels
from mlreco.models.transfer import send, tensors_of, to_device

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device(request.param)


def test_batches_arrive_in_order_with_everything_they_had(device):
    batches = [{**make_batch([50 + 10 * number, 0], seed=number), "index": [number]} for number in range(5)]
    found = list(send(((batch, 0.5) for batch in batches), device))
    assert [sent.seconds for sent in found] == [0.5] * 5
    for batch, sent in zip(batches, found, strict=True):
        arrived = sent.arrived()
        assert sent.host is batch and arrived["index"] == batch["index"]
        for name in ("input_data", "cluster_label"):
            assert arrived[name].features.device.type == device.type
            assert torch.equal(arrived[name].coordinates.cpu(), batch[name].coordinates)
            assert torch.equal(arrived[name].features.cpu(), batch[name].features)
            assert arrived[name].counts == batch[name].counts


def test_a_batch_is_sent_only_when_it_is_asked_for(device):
    asked = []
    batches = ((asked.append(number) or make_batch([5]), 0.0) for number in range(3))
    sending = send(batches, device)
    next(sending)
    assert asked == [0]


def test_all_that_is_moved_is_waited_for():
    """A stream that does not wait for a copy computes with whatever was in its memory before."""
    truth = GraphTruth(*(torch.arange(3) for _ in range(5)))
    graph = GraphBatch(*(torch.zeros(3, 2) for _ in range(5)), (3,), (3,), truth)
    batch = {**make_batch([5]), "graph": graph, "labels": Labels(torch.arange(5), None, torch.arange(5)), "index": [0]}
    moved = to_device(batch, torch.device("meta"))
    counts = {name: len(tensors_of(blob)) for name, blob in moved.items()}
    assert counts["graph"] == 10 and counts["labels"] == 2 and counts["input_data"] == 2 and counts["index"] == 0
    assert all(tensor.is_meta for blob in moved.values() for tensor in tensors_of(blob))


@pytest.mark.parametrize("kinds", [(torch.float32, torch.float32), (torch.float32, torch.float64, torch.int64)])
def test_the_first_tensor_that_is_not_finite_is_named(kinds):
    tensors = {str(number): torch.ones(3, dtype=kind) for number, kind in enumerate(kinds)}
    assert not_finite(tensors) is None
    tensors["1"][2] = torch.inf
    assert not_finite(tensors) == "1"
    tensors["0"][0] = torch.nan
    assert not_finite(tensors) == "0"


def test_upload_keeps_values_and_type(device):
    values = torch.tensor([1.0, 2.5], dtype=torch.float64)
    found = upload(values, device)
    assert found.device.type == device.type and found.dtype == torch.float64
    assert torch.equal(found.cpu(), values)
