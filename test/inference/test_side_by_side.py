"""Batches side by side: in order, with their part of the threads, no more than there is room for."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.inference.side_by_side import side_by_side
from mlreco.sparse.cpu.threads.thread_count import thread_count

ROOM = 100


def one(_):
    return 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2 * ROOM), max_size=20), st.integers(1, 4))
def test_results_come_in_order_and_never_need_more_room_than_there_is(sizes, places):
    lock, running = threading.Lock(), []

    def work(item):
        number, size = item
        with lock:
            running.append(size)
            together = list(running)
        time.sleep(1e-4 * (number % 3))
        with lock:
            running.remove(size)
        return number, together

    found = list(side_by_side(work, enumerate(sizes), places, lambda item: item[1], ROOM))
    assert [number for number, _ in found] == list(range(len(sizes)))
    for _, together in found:
        assert len(together) <= places
        assert sum(together) <= ROOM or len([size for size in together if size]) == 1


def test_as_many_work_at_once_as_there_are_places():
    meeting = threading.Barrier(3)
    assert list(side_by_side(lambda item: (meeting.wait(10), item)[1], range(6), 3, one, ROOM)) == list(range(6))


def test_one_place_is_the_calling_thread():
    threads = set(side_by_side(lambda _: threading.get_ident(), range(5), 1, one, ROOM))
    assert threads == {threading.get_ident()}


@pytest.fixture
def four_threads(set_threads):
    set_threads(4)


def test_those_at_work_divide_the_threads(four_threads):
    meeting = threading.Barrier(2)

    def work(_):
        meeting.wait(10)
        return thread_count()

    assert list(side_by_side(work, range(2), 2, one, ROOM))[1] == 2
    assert list(side_by_side(lambda _: thread_count(), range(3), 2, lambda _: ROOM, ROOM)) == [4, 4, 4]
    assert thread_count() == 4


def test_torch_has_one_thread_inside_and_all_of_them_before_and_after(four_threads):
    assert set(side_by_side(lambda _: torch.get_num_threads(), range(5), 2, one, ROOM)) == {1}
    assert torch.get_num_threads() == 4
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 4


def test_there_is_always_one_thread(set_threads):
    set_threads(1)
    assert set(side_by_side(lambda _: thread_count(), range(9), 3, one, ROOM)) == {1}


def test_an_error_comes_in_its_turn_and_drops_what_waits():
    done = []

    def work(number):
        if number == 3:
            raise ValueError("three")
        time.sleep(0.01)
        done.append(number)
        return number

    seen = []
    with pytest.raises(ValueError, match="three"):
        for number in side_by_side(work, range(100), 2, one, ROOM):
            seen.append(number)
    assert seen == [0, 1, 2] and len(done) < 10


def test_what_waits_for_room_is_not_begun_after_an_error():
    begun, first_has_room, others_wait = [], threading.Event(), threading.Event()

    def items():
        yield 0
        assert first_has_room.wait(10)
        yield from range(1, 5)
        others_wait.set()
        yield from range(5, 9)

    def work(number):
        begun.append(number)
        first_has_room.set()
        if number == 0:
            assert others_wait.wait(10)
        else:
            time.sleep(1)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        list(side_by_side(work, items(), 3, lambda _: ROOM, ROOM))
    assert begun[0] == 0 and len(begun) <= 2  # one of those that waited may have begun before the error was known


def test_a_fast_thread_goes_on_while_a_slow_one_works():
    gone_on = threading.Event()

    def work(number):
        if number == 0:
            assert gone_on.wait(10)
        if number == 3:
            gone_on.set()
        return number

    assert list(side_by_side(work, range(6), 2, lambda _: ROOM // 2, ROOM)) == list(range(6))


def test_leaving_early_ends_the_threads():
    before = threading.active_count()
    results = side_by_side(lambda item: item, iter(int, 1), 3, one, ROOM)
    next(results)
    results.close()
    assert threading.active_count() == before
