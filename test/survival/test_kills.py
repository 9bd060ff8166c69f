"""Trainings that are killed, and gone on with, come to the same end: to the bit, without a lost or doubled row.

``MLRECO_KILLS=50`` kills so often, one process and two together; a few by default. ``MLRECO_FIRST_SEED`` draws others.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ASKED = os.environ.get("MLRECO_KILLS")
FIRST = os.environ.get("MLRECO_FIRST_SEED", "0")


@pytest.mark.timeout(3600 if ASKED else 300)
@pytest.mark.parametrize(
    "how",
    ["alone", pytest.param("together", marks=pytest.mark.skipif(not ASKED, reason="MLRECO_KILLS is not set"))],
)
def test_killed_trainings_come_to_the_same_end(tmp_path, how):
    command = [sys.executable, str(HERE / "kills.py"), str(tmp_path), how, ASKED or "4", FIRST]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["kills"] >= int(ASKED or 4) and not found["faults"], json.dumps(found["faults"], indent=1)
