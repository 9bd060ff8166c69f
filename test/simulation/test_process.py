"""Processes that simulate, and what becomes of events when they die."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from mlreco.errors import UserError
from mlreco.simulation import Options, process
from mlreco.simulation.guns import Gun
from mlreco.simulation.pool import Pool
from mlreco.simulation.process import SimulationProcess

SMALL = Options(seed=3, size=200, particles=(Gun("mu-", (150, 250)), Gun("e-", (30, 60))))


def flat(event):
    """Everything that an event holds, as bytes."""
    return pickle.dumps(
        [
            (mode, name, [np.asarray(getattr(content, key)).tobytes() for key in keys])
            for mode, products in event.products.items()
            for name, content in products.items()
            for keys in [
                ("coordinates", "features") if "sparse3d" in name else ("T",) if "particle" in name else ("sets",)
            ]
        ]
    )


@pytest.fixture(scope="module")
def expected(geant4):
    with Pool(SMALL, 1) as pool:
        return [flat(event) for event in pool.events(range(6))]


AT_ONCE = "import os; os.abort()"
OVER_AN_EVENT = """
import os, pickle, sys
from mlreco.simulation.worker import Answer
pickle.load(sys.stdin.buffer)
pickle.dump(Answer(), sys.stdout.buffer)
sys.stdout.flush()
pickle.load(sys.stdin.buffer)
os.abort()
"""


@pytest.fixture
def dying_workers(monkeypatch):
    """Makes the first workers die; gives the list of what they run."""
    programs, start = [], process._start

    def unreliable():
        if not programs:
            return start()
        words = [sys.executable, "-c", programs.pop()]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    monkeypatch.setattr(process, "_start", unreliable)
    return programs


def test_events_are_the_same_with_any_number_of_workers_that_die(expected, dying_workers):
    dying_workers[:] = [AT_ONCE, OVER_AN_EVENT, AT_ONCE]
    with Pool(SMALL, 2) as pool:
        events = list(pool.events(range(6)))
        assert pool.deaths >= 3
    assert [event.number for event in events] == list(range(6))
    assert [flat(event) for event in events] == expected


def test_a_worker_killed_between_events_is_replaced(expected):
    simulation = SimulationProcess(SMALL)
    assert flat(simulation.event(4)) == expected[4]
    simulation._worker.kill()
    assert flat(simulation.event(2)) == expected[2]
    assert simulation.deaths >= 1
    simulation.close()


def test_an_event_over_which_geant4_dies_again_and_again_is_named(geant4, dying_workers):
    dying_workers[:] = [OVER_AN_EVENT] * process.ATTEMPTS
    with pytest.raises(UserError, match=r"event 5 of seed 3: Geant4 died over it 3 times \(SIGABRT\)"):
        SimulationProcess(SMALL).event(5)
    dying_workers[:] = [AT_ONCE] * process.STARTS
    with pytest.raises(UserError, match=r"Geant4 died 5 times while it started \(SIGABRT\)"):
        SimulationProcess(SMALL).event(5)


def test_a_bug_in_the_worker_comes_with_its_traceback(geant4):
    with pytest.raises(RuntimeError, match="Traceback"):
        SimulationProcess(SMALL).event("no number")


def test_a_worker_ends_with_the_process_that_started_it(geant4):
    worker = process._start()
    worker.stdin.close()
    assert worker.wait(20) == 0


def test_geant4_must_be_installed_in_a_version_that_was_checked(monkeypatch):
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(UserError, match=r"needs Geant4, which is not installed in .*: pip install geant4-pybind=="):
        SimulationProcess(SMALL)
    monkeypatch.setattr(metadata, "version", lambda name: "0.9")
    with pytest.raises(UserError, match=r"needs geant4-pybind 0\.1\.3, and 0\.9 is installed"):
        SimulationProcess(SMALL)
