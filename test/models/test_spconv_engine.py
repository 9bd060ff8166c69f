"""The spconv engine: the adapter on spconv's CPU code (1 thread, where it is right), and on CUDA where there is one."""

import pytest
import torch
from conftest import make_batch

from mlreco.models.chain import Chain, ChainLoss
from mlreco.sparse import engine

PRODUCTS = ("segmentation", "embeddings", "margins", "seediness")
pytest.importorskip("spconv.pytorch")


@pytest.fixture
def chain(model_config):
    torch.manual_seed(0)
    chain = Chain.from_config(model_config)
    for seed in range(3):
        chain.train()(make_batch([120, 80], seed=10 + seed))
    return chain


@pytest.fixture
def one_thread(set_threads):
    set_threads(1)


@torch.no_grad()
def test_the_adapter_gives_the_chain_the_same_output_and_state(chain, one_thread, monkeypatch):
    batch = make_batch([150, 0, 70])
    expected = chain.eval()(batch)
    names = list(chain.state_dict())
    monkeypatch.setattr(engine, "_forced", engine.CUDA)
    found = chain(batch)
    for name in PRODUCTS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
    assert list(chain.state_dict()) == names


@torch.no_grad()
def test_the_adapter_takes_a_batch_of_empty_events(chain, one_thread, monkeypatch):
    monkeypatch.setattr(engine, "_forced", engine.CUDA)
    products = chain.eval()(make_batch([0, 0]))
    assert all(len(products[name]) == 0 for name in PRODUCTS)


@torch.no_grad()
def test_the_adapter_follows_loaded_weights(chain, one_thread, monkeypatch):
    batch = make_batch([60])
    monkeypatch.setattr(engine, "_forced", engine.CUDA)
    before = chain.eval()(batch)["embeddings"]
    chain.load_state_dict({name: tensor * 1.1 for name, tensor in chain.state_dict().items()})
    after = chain(batch)["embeddings"]
    monkeypatch.undo()
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, chain(batch)["embeddings"], rtol=1e-4, atol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu_in_output_and_gradients(chain, model_config):
    batch = make_batch([300, 0, 100])
    loss = ChainLoss.from_config(model_config)
    results = []
    for device in ("cpu", "cuda"):
        chain.to(device).train()
        moved = {name: blob.to(device) for name, blob in batch.items()}
        products = chain(moved)
        chain.zero_grad()
        loss.to(device)(products, products["labels"])["loss"].backward()
        gradients = {name: p.grad.cpu().clone() for name, p in chain.named_parameters()}
        results.append(({name: products[name].detach().cpu() for name in PRODUCTS}, gradients))
    (cpu, cpu_gradients), (cuda, cuda_gradients) = results
    for name in PRODUCTS:
        torch.testing.assert_close(cuda[name], cpu[name], rtol=1e-3, atol=1e-4)
    for name, gradient in cpu_gradients.items():
        torch.testing.assert_close(cuda_gradients[name], gradient, rtol=1e-2, atol=1e-4)
