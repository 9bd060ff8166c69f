"""Threads of libraries: set before torch is imported, whichever door the user takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = {
    "mlreco": "import sys; from mlreco.cli import main; assert 'torch' not in sys.modules; main(['--version'])",
    "benchmarks": "from benchmarks.__main__ import main; main(['peak', '--quick', '-o', sys.argv[1]])",
}


@pytest.mark.parametrize(
    ("door", "users", "expected"),
    [("mlreco", None, "PASSIVE"), ("mlreco", "ACTIVE", "ACTIVE"), ("benchmarks", None, "PASSIVE")],
)
def test_idle_threads_sleep_unless_the_user_wants_otherwise(door, users, expected, tmp_path):
    ours = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_DISPLAY_ENV": "TRUE"}
    environment |= {} if users is None else {"OMP_WAIT_POLICY": users}
    code = f"import sys; {CODE[door]}; import os, torch; assert os.environ['OMP_WAIT_POLICY'] == '{expected}'"
    code += f"; assert ('GOMP_SPINCOUNT' in os.environ) == {users is None}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    told = [line for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert all(expected in line for line in told)
    if not told:
        pytest.skip("this torch's OpenMP does not tell its settings")
