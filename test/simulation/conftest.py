import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mlreco.errors import UserError
from mlreco.simulation import require_geant4

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TRIES = 6
"""Geant4 dies now and then when it starts, and with user actions in Python more often."""


def track(events, width=1536.0, how="native"):
    """Return what Geant4, in a process of its own, recorded of (seed, primaries) pairs."""
    request = pickle.dumps((width, events, how))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(TRIES):
        done = subprocess.run(
            [sys.executable, str(HERE / "tracked.py")],
            input=request,
            capture_output=True,
            env=environment,
            check=False,
        )
        if done.returncode == 0:
            return pickle.loads(done.stdout)
        assert done.returncode < 0, done.stderr.decode()
    pytest.fail(f"Geant4 crashed {TRIES} times")


@pytest.fixture(scope="session")
def geant4():
    """Gives `track`; skips where Geant4 is not installed."""
    try:
        require_geant4()
    except UserError as error:
        pytest.skip(str(error))
    return track
