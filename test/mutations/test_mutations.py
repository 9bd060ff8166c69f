"""Damaged files of every kind through every command: status 0 or 2, one line, little memory, an end.

By default a few of each kind go through the commands that need no network. ``MLRECO_MUTATIONS=300`` damages as many of
each kind and runs every command (an hour); ``MLRECO_FIRST_SEED`` begins elsewhere. What is found is repeated with
``MLRECO_MUTATIONS=1 MLRECO_FIRST_SEED=SEED``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = ("larcv3", "cache", "larcv2", "pilarnet_m", "output", "checkpoint", "config", "thresholds", "list", "log")
ASKED = os.environ.get("MLRECO_MUTATIONS")
MUTATIONS = int(ASKED or 3)
FIRST = int(os.environ.get("MLRECO_FIRST_SEED", "0"))


@pytest.mark.timeout(600 + 600 * MUTATIONS)
@pytest.mark.parametrize("kinds", KINDS if ASKED else [",".join(KINDS)])
def test_damaged_files_end_in_one_line(tmp_path, kinds):
    if "larcv2" in kinds:
        pytest.importorskip("uproot")
    command = [sys.executable, str(HERE / "run.py"), kinds, str(tmp_path), str(FIRST), str(MUTATIONS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    command += [] if ASKED else ["--quick"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["ran"] >= MUTATIONS and not found["faults"], json.dumps(found["faults"], indent=1)
