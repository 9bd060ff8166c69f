import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sparse_references as references

from mlreco.models.layers.sparse.cpu import crew
from mlreco.models.layers.sparse.cpu.crew import share
from mlreco.models.layers.sparse.cpu.forward import convolution
from mlreco.models.layers.sparse.cpu.panels import pack
from mlreco.models.layers.sparse.kernel_map import keys_from_coordinates, submanifold_map


def problem(seed=0):
    rng = np.random.default_rng(seed)
    kernel_map = submanifold_map(keys_from_coordinates(references.random_sites(rng, 1, 900, 15)))
    x = rng.normal(size=(kernel_map.n_in, 16)).astype(np.float32)
    return x, pack(rng.normal(size=(27, 16, 16)).astype(np.float32)), kernel_map


def test_every_item_is_worked_on_once():
    left, done, lock = list(range(500)), [], threading.Lock()

    def work():
        while True:
            with lock:
                if not left:
                    return
                item = left.pop()
            done.append(item)

    share(work, 4)
    assert sorted(done) == list(range(500))


def test_an_error_in_a_helper_reaches_the_caller():
    caller, helped = threading.get_ident(), threading.Event()

    def work():
        if threading.get_ident() == caller:
            assert helped.wait(timeout=60)
            return
        helped.set()
        raise RuntimeError("of a helper")

    with pytest.raises(RuntimeError, match="of a helper"):
        share(work, 2)


def test_a_call_ends_while_all_helpers_are_busy():
    release = threading.Event()
    calls = [threading.Thread(target=share, args=(lambda: release.wait(60), 3), daemon=True) for _ in range(4)]
    for call in calls:
        call.start()
    ran = []
    share(lambda: ran.append(1), 3)
    release.set()
    for call in calls:
        call.join()
    assert ran


def test_many_python_threads_may_convolve_at_once():
    x, panels, kernel_map = problem()
    expected = convolution(x, panels, kernel_map)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: convolution(x, panels, kernel_map, 3), range(60)))
    assert all(np.array_equal(result, expected) for result in results)


def _convolve_in_child(queue):
    x, panels, kernel_map = problem()
    queue.put(convolution(x, panels, kernel_map, 2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_helpers_of_its_own():
    x, panels, kernel_map = problem()
    expected = convolution(x, panels, kernel_map, 2)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_convolve_in_child, args=(queue,))
    child.start()
    assert np.array_equal(queue.get(timeout=120), expected)
    child.join()


@pytest.mark.parametrize(("operations", "numbers", "expected"), [(0, 0, 1), (7e6, 0, 1), (1.7e7, 0, 2), (0, 10**6, 4)])
def test_a_thread_is_called_only_where_it_has_enough_to_do(monkeypatch, operations, numbers, expected):
    monkeypatch.setattr(crew, "WORTH_A_THREAD", 8e6)
    assert crew.crew_for(4, operations, numbers) == expected
    assert crew.crew_for(1, operations, numbers) == 1
