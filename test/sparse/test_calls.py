"""Calls in turn do what the same calls do one by one."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sparse_references as references
import torch

from mlreco.sparse.cpu.codegen.shared_memory import claim, integers_at
from mlreco.sparse.cpu.ops.epilogue import Activation
from mlreco.sparse.cpu.ops.normalisation import activate
from mlreco.sparse.cpu.ops.weight_gradient import begin_weight_gradient, weight_gradient
from mlreco.sparse.cpu.threads.call_queue import LENGTH
from mlreco.sparse.cpu.threads.calls import DIRECT, QueuedCalls
from mlreco.sparse.maps.kernel_map import keys_from_coordinates, submanifold_map
from mlreco.sparse.native.jit import SharedKernel
from mlreco.sparse.native.job import OWN, Job, Layout, Numbers


def _add_one_to_what_the_last_call_wrote(place, _):
    numbers = integers_at(place)
    while claim(place) < 1:
        target = integers_at(numbers[2])
        target[0] = integers_at(numbers[1])[0] + 1


add_one = SharedKernel(_add_one_to_what_the_last_call_wrote)
ADD = Layout(counter=OWN, source=Numbers(np.int64), target=Numbers(np.int64))


def add_job(source, target):
    return Job(ADD, source=source, target=target)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_calls_are_made_in_their_order(threads):
    for count in (0, 1, 2, LENGTH - 1, LENGTH, LENGTH + 1, 3 * LENGTH + 5):
        numbers = np.zeros(count + 1, np.int64)
        with QueuedCalls(threads) as calls:
            for place in range(count):
                calls(add_one, add_job(numbers[place:], numbers[place + 1 :]), threads)
        assert numbers.tolist() == list(range(count + 1))


@pytest.mark.parametrize("most", [1, 20_000, float("inf")])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_the_calls_use_lives_until_they_are_made(threads, most):
    activation = Activation(np.full(7, 2, np.float32), np.full(7, -1, np.float32), 0.5)
    start = torch.randn(300, 7)
    expected = x = start
    for _ in range(20):
        following = DIRECT.empty(300, 7)
        activate(expected, activation, following)
        expected = following
    with QueuedCalls(threads, most) as calls:
        for _ in range(20):
            following = calls.empty(300, 7)
            activate(x, activation, following, calls)
            x = following
            gc.collect()
            torch.full((300, 7), torch.nan)  # takes the place of whatever was given back
    assert torch.equal(x, expected)


def test_much_memory_makes_the_calls():
    numbers = np.zeros(3, np.int64)
    with QueuedCalls(1, most=400) as calls:
        calls.empty(99)
        calls(add_one, add_job(numbers, numbers[1:]), 1)
        assert numbers.tolist() == [0, 0, 0]
        calls.empty(1)
        calls(add_one, add_job(numbers[1:], numbers[2:]), 1)
        assert numbers.tolist() == [0, 1, 0]
    assert numbers.tolist() == [0, 1, 2]


def test_a_helper_makes_the_calls_meanwhile():
    numbers = np.zeros(101, np.int64)
    with QueuedCalls(2) as calls:
        for place in range(100):
            calls(add_one, add_job(numbers[place:], numbers[place + 1 :]), 2)
        deadline = time.monotonic() + 60
        while not numbers[100] and time.monotonic() < deadline:
            time.sleep(0.001)
        assert numbers[100] == 100


def test_calls_are_made_though_the_block_fails():
    numbers = np.zeros(3, np.int64)
    with pytest.raises(KeyError), QueuedCalls(2) as calls:
        calls(add_one, add_job(numbers, numbers[1:]), 2)
        raise KeyError
    assert numbers.tolist() == [0, 1, 0]


def test_a_weight_gradient_that_has_begun_is_finished_though_its_block_fails():
    kernel_map = submanifold_map(keys_from_coordinates(references.random_sites(np.random.default_rng(0), 1, 900, 15)))
    x, grad = torch.randn(kernel_map.n_in, 16), torch.randn(kernel_map.n_out, 8)
    with pytest.raises(KeyError), QueuedCalls(2) as calls:
        gradient = begin_weight_gradient(x, grad, kernel_map, calls)
        raise KeyError
    assert torch.equal(gradient.permute(1, 2, 0), weight_gradient(x, grad, kernel_map))


def test_a_queue_that_was_left_open_is_closed():
    numbers = np.zeros(2, np.int64)
    calls = QueuedCalls(3).__enter__()
    calls(add_one, add_job(numbers, numbers[1:]), 2)
    del calls
    assert numbers.tolist() == [0, 1]


def test_queues_of_many_python_threads_at_once():
    def count(seed):
        rng = np.random.default_rng(seed)
        for _ in range(40):
            numbers, threads = np.zeros(31, np.int64), int(rng.integers(1, 6))
            with QueuedCalls(threads) as calls:
                for place in range(30):
                    use = add_job(numbers[place:], numbers[place + 1 :])
                    calls(add_one, use, int(rng.integers(1, 6)))
            assert numbers.tolist() == list(range(31))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(count, range(12)))


def test_no_thread_spins_while_the_caller_does_something_else():
    """As in a debugger, inside the block: the helper that works off the queue sleeps."""
    numbers = np.zeros(3, np.int64)
    with QueuedCalls(3) as calls:
        calls(add_one, add_job(numbers, numbers[1:]), 2)
        time.sleep(0.1)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.1
        calls(add_one, add_job(numbers[1:], numbers[2:]), 2)
    assert numbers.tolist() == [0, 1, 2]
