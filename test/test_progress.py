"""What a run says of itself where nobody sits at a terminal, and which time is in its rates."""

import threading
import time

import numba
import numpy as np
import pytest

from mlreco import compiling, progress
from mlreco.cli import run_clock
from mlreco.progress import Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_from_time_to_time_with_means_rate_and_time_left(clock, capsys):
    with Progress("training", total=1000, initial=100, unit="it") as bar:
        for step in range(40):
            clock[0] += 1
            bar.advance(1, loss=float(step))
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "mlreco: training: 110 of 1,000 iterations, loss 4.5, 1 iterations/s, 15 min left",
        "mlreco: training: 130 of 1,000 iterations, loss 19.5, 1 iterations/s, 14 min left",
    ]


def test_a_short_run_says_nothing_and_an_unknown_total_is_not_guessed(clock, capsys):
    with Progress("inference", total=3) as bar:
        for _ in range(3):
            clock[0] += 3
            bar.advance()
    assert capsys.readouterr().err == ""
    with Progress("simulate") as bar:
        clock[0] += 20
        bar.advance(5)
    assert capsys.readouterr().err == "mlreco: simulate: 5 events, 0.25 events/s\n"


def test_time_for_compiling_is_in_no_rate(clock, capsys, monkeypatch):
    compiled = [7.0]
    monkeypatch.setattr(compiling, "seconds", lambda: compiled[0])
    with Progress("inference", total=100) as bar:
        clock[0] += 20
        compiled[0] += 15
        bar.advance(10)
    assert capsys.readouterr().err == "mlreco: inference: 10 of 100 events, 2 events/s, 45 s left\n"


def test_a_training_tells_of_the_compiler_and_leaves_the_lines_to_its_reports(clock, capsys):
    with Progress("training", total=10, unit="it", lines=False) as bar:
        clock[0] += 100
        bar.advance()
        bar._tell_of_compiling()
    assert capsys.readouterr().err == f"mlreco: {progress.COMPILING}\n"


def test_the_clock_of_a_command_leaves_out_compiling(monkeypatch):
    now, compiled = [50.0], [7.0]
    monkeypatch.setattr(run_clock.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(compiling, "seconds", lambda: compiled[0])
    clock = run_clock.RunClock()
    now[0], compiled[0] = 90.0, 37.0
    assert clock.seconds() == 10.0
    assert clock.once() == "; loading compiled kernels: 30.0 s"
    assert run_clock.told_once(0.4, 1) == "" and run_clock.told_once(2, 3) == "; compiling kernels, once: 2.0 s"


def test_a_run_that_waits_for_the_compiler_says_so_once(capsys, monkeypatch):
    monkeypatch.setattr(compiling, "_PATIENCE", -1.0)
    with Progress("inference", total=1):
        for dtype in (np.int8, np.int16):
            assert numba.njit(lambda x: x + 1)(dtype(1)) == 2
    assert capsys.readouterr().err == f"mlreco: {progress.COMPILING}\n"
    numba.njit(lambda x: x + 2)(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2.0 h"), (2e5, "2.3 days")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_stopwatch_leaves_out_what_its_thread_compiles_and_waits_for():
    @numba.njit
    def kernel(values):
        return np.sort(values).sum() + np.linalg.norm(values)

    began, before, kernels = time.perf_counter(), compiling.seconds(), compiling.kernels()
    watch = compiling.Stopwatch()
    kernel(np.arange(5.0))
    own, whole = watch.lap(), time.perf_counter() - began
    told = compiling.seconds() - before
    assert compiling.kernels() > kernels
    assert own + told == pytest.approx(whole, rel=0.2, abs=0.05)
    assert told > 0.5 * whole
    assert watch.lap() < 0.05


def test_threads_that_wait_for_one_another_are_counted_once():
    watched = compiling._Watch()
    lock = compiling.event.Event(compiling._LOCK_EVENT, compiling.event.EventStatus.START)
    ready = threading.Barrier(2)
    own = {}

    def work(name, seconds):
        ready.wait()
        watched.on_start(lock)
        watched.on_start(lock)
        time.sleep(seconds)
        watched.on_end(lock)
        watched.on_end(lock)
        own[name] = watched.of_thread()

    threads = [threading.Thread(target=work, args=one) for one in (("short", 0.05), ("long", 0.3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.05 <= own["short"] < own["long"]
    assert own["long"] <= watched.of_all() < own["short"] + own["long"]
    watched.on_end(lock)
    assert watched.of_all() == watched.of_all()
