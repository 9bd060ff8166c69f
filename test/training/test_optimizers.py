"""Optimisers without the compiler against torch's own."""

import copy

import pytest
import torch

from mlreco.training.optimizers import UNSUITABLE, make_optimizer
from mlreco.training.schedules import make_scheduler

KINDS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and name not in {"Optimizer", *UNSUITABLE}
)


def trained(model, optimizer, scheduler, steps):
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        model(inputs).square().sum().backward()
        optimizer.step()
        scheduler.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("name", KINDS)
def test_steps_are_those_of_torch(name):
    torch.manual_seed(0)
    ours = torch.nn.Linear(4, 3, bias=False)  # Muon takes matrices alone
    theirs = copy.deepcopy(ours)
    schedule = {"name": "ExponentialLR", "args": {"gamma": 0.5}}
    optimizer = make_optimizer(ours, {"name": name, "args": {"lr": 0.01}})
    reference = getattr(torch.optim, name)(theirs.parameters(), lr=0.01)
    assert isinstance(optimizer, type(reference))
    found = trained(ours, optimizer, make_scheduler(optimizer, schedule), 3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(reference, 0.5)
    torch.testing.assert_close(found, trained(theirs, reference, scheduler, 3), rtol=0, atol=0)

    continued = make_optimizer(ours, {"name": name, "args": {"lr": 0.01}})
    continued.load_state_dict(optimizer.state_dict())
    found = trained(ours, continued, make_scheduler(continued, schedule), 2)
    reference.load_state_dict(reference.state_dict())
    scheduler = torch.optim.lr_scheduler.ExponentialLR(reference, 0.5)
    torch.testing.assert_close(found, trained(theirs, reference, scheduler, 2), rtol=0, atol=0)


def test_a_step_leaves_no_graph_and_calls_its_hooks():
    model = torch.nn.Linear(2, 1)
    optimizer = make_optimizer(model, {"name": "Adam"})
    called = []
    optimizer.register_step_post_hook(lambda *_: called.append(torch.is_grad_enabled()))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert len(called) == 1
    assert torch.is_grad_enabled()
    assert all(value.grad_fn is None for state in optimizer.state.values() for value in state.values())
