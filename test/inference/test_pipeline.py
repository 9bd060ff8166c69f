"""Threads that keep the order, lose nothing and hand on what goes wrong."""

import sys
import threading
import time

import pytest

from mlreco.inference.pipeline import InOrder, prefetched, short_turns, timed


def test_prefetched_items_come_in_order():
    assert list(prefetched(range(100))) == list(range(100))
    assert list(prefetched([])) == []


def test_an_exception_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("broken")

    seen = []
    with pytest.raises(OSError, match="broken"):
        for item in prefetched(items()):
            seen.append(item)
    assert seen == [1, 2]


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    items = prefetched(iter(int, 1))
    next(items)
    items.close()
    assert threading.active_count() == before


def test_no_more_than_the_depth_is_made_ahead():
    made = []

    def items():
        for number in range(10):
            made.append(number)
            yield number

    running = prefetched(items(), depth=2)
    next(running)
    time.sleep(0.3)
    assert len(made) <= 4
    assert list(running) == list(range(1, 10))


def test_timed_counts_the_making_alone():
    def items():
        time.sleep(0.05)
        yield "slow"
        yield "quick"

    (slow, first), (quick, second) = timed(items())
    assert (slow, quick) == ("slow", "quick") and first >= 0.05 > second


def test_calls_are_worked_off_in_order():
    done = []
    with InOrder(depth=3) as calls:
        for number in range(50):
            calls.submit(done.append, number)
    assert done == list(range(50))


def test_a_failed_call_is_raised_and_later_ones_are_dropped():
    done = []

    def work(number):
        if number == 3:
            raise ValueError("three")
        done.append(number)

    with pytest.raises(ValueError, match="three"), InOrder(depth=2) as calls:
        for number in range(100):
            calls.submit(work, number)
    assert done[:3] == [0, 1, 2] and len(done) < 20


def test_an_exception_of_the_block_drops_what_waits():
    done = []
    with pytest.raises(KeyboardInterrupt), InOrder(depth=100) as calls:
        for number in range(50):
            calls.submit(lambda n: (time.sleep(0.02), done.append(n)), number)
        raise KeyboardInterrupt
    assert len(done) < 50


def test_turns_are_short_in_the_block_alone():
    before = sys.getswitchinterval()
    with pytest.raises(ValueError, match="broken"), short_turns():
        assert sys.getswitchinterval() < before
        raise ValueError("broken")
    assert sys.getswitchinterval() == before
