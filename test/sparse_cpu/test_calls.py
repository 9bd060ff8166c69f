"""Calls in one go do what the same calls do one by one."""

import gc

import numpy as np
import pytest
import torch

from mlreco.models.layers.sparse.cpu.calls import AT_ONCE, InOneGo
from mlreco.models.layers.sparse.cpu.epilogue import Activation
from mlreco.models.layers.sparse.cpu.jit import SharedKernel
from mlreco.models.layers.sparse.cpu.memory import address, job
from mlreco.models.layers.sparse.cpu.normalisation import activate
from mlreco.models.layers.sparse.cpu.shared_memory import claim, integers_at


def _add_one_to_what_the_last_call_wrote(place, _):
    numbers = integers_at(place)
    while claim(place) < 1:
        target = integers_at(numbers[2])
        target[0] = integers_at(numbers[1])[0] + 1


add_one = SharedKernel(_add_one_to_what_the_last_call_wrote)


@pytest.mark.parametrize("threads", [1, 3])
def test_calls_are_made_in_their_order(threads):
    calls, numbers = InOneGo(), np.zeros(200, np.int64)
    for place in range(199):
        calls(add_one, job(0, address(numbers[place:]), address(numbers[place + 1 :])), threads)
    assert not numbers.any()
    calls.make()
    assert numbers.tolist() == list(range(200))
    calls.make()
    assert numbers.tolist() == list(range(200))


def test_what_the_calls_use_lives_until_they_are_made():
    activation = Activation(np.full(7, 2, np.float32), np.full(7, -1, np.float32), 0.5)
    start = torch.randn(300, 7)
    calls, expected, x = InOneGo(), start, start
    for _ in range(20):
        following = AT_ONCE.empty(300, 7)
        activate(expected, activation, following, 2)
        expected = following
        following = calls.empty(300, 7)
        activate(x, activation, following, 2, calls)
        x = following
        gc.collect()
        torch.full((300, 7), torch.nan)  # takes the place of whatever was given back
    calls.make()
    assert torch.equal(x, expected)


def test_much_memory_makes_the_calls():
    calls, numbers = InOneGo(most=400), np.zeros(3, np.int64)
    calls.empty(99)
    calls(add_one, job(0, address(numbers), address(numbers[1:])), 1)
    assert numbers.tolist() == [0, 0, 0]
    calls.empty(1)
    calls(add_one, job(0, address(numbers[1:]), address(numbers[2:])), 1)
    assert numbers.tolist() == [0, 1, 2]
