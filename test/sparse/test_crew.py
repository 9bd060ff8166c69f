import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import sparse_references as references

from mlreco.sparse.cpu.codegen.shared_memory import claim, integers_at, nap, read, write
from mlreco.sparse.cpu.ops.convolution import convolution
from mlreco.sparse.cpu.ops.panels import pack
from mlreco.sparse.cpu.threads import crew
from mlreco.sparse.cpu.threads.calls import DirectCalls
from mlreco.sparse.cpu.threads.crew import share
from mlreco.sparse.maps.kernel_map import keys_from_coordinates, submanifold_map
from mlreco.sparse.native.jit import SharedKernel
from mlreco.sparse.native.job import Job

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


def problem(seed=0):
    rng = np.random.default_rng(seed)
    kernel_map = submanifold_map(keys_from_coordinates(references.random_sites(rng, 1, 900, 15)))
    x = rng.normal(size=(kernel_map.n_in, 16)).astype(np.float32)
    return x, pack(rng.normal(size=(27, 16, 16)).astype(np.float32)), kernel_map


ITEMS = 500


def _count_items(job, worker):
    numbers = integers_at(job)
    while True:
        item = claim(job)
        if item >= ITEMS:
            break
        numbers[1 + item] += 1
    numbers[1 + ITEMS + worker] += 1


def _wait_for_a_helper(job, worker):
    if worker > 0:
        write(job, 1)
    for _ in range(200_000):
        if read(job):
            break
        nap()


def _wait_to_be_released(job, worker):
    while not read(job):
        nap()


count_items = SharedKernel(_count_items)
wait_for_a_helper = SharedKernel(_wait_for_a_helper)
wait_to_be_released = SharedKernel(_wait_to_be_released)


@contextmanager
def begun(work, job, threads):
    """Let helpers run a kernel during the block, and finish it at the block's end."""
    call = work.address, Job.over(job).address
    slot = crew.open_to_helpers(*call, *crew.crew_places(threads))
    try:
        yield
    finally:
        crew.work_and_close(*call, slot)


def test_threads_that_are_first_at_once_share_the_code_of_a_kernel():
    fresh, meeting = SharedKernel(_wait_to_be_released), threading.Barrier(4)

    def address(_):
        meeting.wait(10)
        return fresh.address

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(address, range(4)))) == 1


def test_every_item_is_worked_on_once_and_every_worker_comes_once():
    for _ in range(100):
        numbers = np.zeros(1 + ITEMS + 4, np.int64)
        share(count_items, Job.over(numbers), 4)
        assert (numbers[1 : 1 + ITEMS] == 1).all()
        runs = numbers[1 + ITEMS :]
        assert runs[0] == 1
        assert runs.max() == 1


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_a_helper_comes_awake_or_asleep(pause):
    for _ in range(5):
        helped = np.zeros(1, np.int64)
        share(wait_for_a_helper, Job.over(helped), 2)
        assert helped[0] == 1
        time.sleep(pause)


def test_a_call_ends_while_all_helpers_are_busy():
    released = np.zeros(1, np.int64)
    arguments = wait_to_be_released, Job.over(released), 3
    calls = [threading.Thread(target=share, args=arguments, daemon=True) for _ in range(4)]
    for call in calls:
        call.start()
    numbers = np.zeros(1 + ITEMS + 3, np.int64)
    share(count_items, Job.over(numbers), 3)
    released[0] = 1
    for call in calls:
        call.join()
    assert (numbers[1 : 1 + ITEMS] == 1).all()


def test_a_job_goes_on_while_its_caller_does_something_else():
    numbers = np.zeros(1 + ITEMS + 2, np.int64)
    with begun(count_items, numbers, 2):
        deadline = time.monotonic() + 60
        while numbers[0] <= ITEMS and time.monotonic() < deadline:
            time.sleep(0.001)
        by_helper = numbers[1 : 1 + ITEMS].sum()
    assert by_helper == ITEMS
    assert (numbers[1 : 1 + ITEMS] == 1).all()
    assert (numbers[1 + ITEMS :] == 1).all()


def test_jobs_begun_within_each_other_are_complete_at_the_end_of_their_blocks():
    for threads in (1, 2, 3, 5):
        for _ in range(100):
            outer, inner, between = (np.zeros(1 + ITEMS + threads, np.int64) for _ in range(3))
            with begun(count_items, outer, threads):
                share(count_items, Job.over(between), threads)
                assert (between[1 : 1 + ITEMS] == 1).all()
                with begun(count_items, inner, threads):
                    pass
                assert (inner[1 : 1 + ITEMS] == 1).all()
            assert (outer[1 : 1 + ITEMS] == 1).all()


def test_more_jobs_than_the_board_has_room_for():
    jobs = [np.zeros(1 + ITEMS + 2, np.int64) for _ in range(30)]
    with ExitStack() as stack:
        for numbers in jobs:
            stack.enter_context(begun(count_items, numbers, 2))
    assert all((numbers[1 : 1 + ITEMS] == 1).all() for numbers in jobs)


def test_threads_that_begin_and_share_jobs_all_at_once():
    def call(seed):
        rng = np.random.default_rng(seed)
        for _ in range(100):
            background, foreground = (np.zeros(1 + ITEMS + 4, np.int64) for _ in range(2))
            with begun(count_items, background, int(rng.integers(1, 5))):
                share(count_items, Job.over(foreground), int(rng.integers(1, 5)))
            assert (background[1 : 1 + ITEMS] == 1).all()
            assert (foreground[1 : 1 + ITEMS] == 1).all()
            assert background[1 + ITEMS :].max() == foreground[1 + ITEMS :].max() == 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(12)))


def test_many_python_threads_may_convolve_at_once():
    x, panels, kernel_map = problem()
    expected = convolution(x, panels, kernel_map)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: convolution(x, panels, kernel_map, DirectCalls(3)), range(60)))
    assert all(np.array_equal(result, expected) for result in results)


def _convolve_in_child(queue):
    x, panels, kernel_map = problem()
    queue.put(convolution(x, panels, kernel_map, DirectCalls(2)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_helpers_of_its_own():
    x, panels, kernel_map = problem()
    expected = convolution(x, panels, kernel_map, DirectCalls(2))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_convolve_in_child, args=(queue,))
    child.start()
    assert np.array_equal(queue.get(timeout=120), expected)
    child.join()


@pytest.mark.parametrize(("operations", "numbers", "expected"), [(0, 0, 1), (7e6, 0, 1), (1.7e7, 0, 2), (0, 10**6, 4)])
def test_a_thread_is_called_only_where_it_has_enough_to_do(monkeypatch, operations, numbers, expected):
    monkeypatch.setattr(crew, "WORTH_A_THREAD", 8_000_000)
    monkeypatch.setattr(crew, "_crew", crew._Crew())
    assert crew.threads_worth(4, operations, numbers) == expected
    assert crew.threads_worth(1, operations, numbers) == 1
