"""The program compiles kernels without what other packages add to numba; the library leaves numba as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KERNEL = "import numba, sys; numba.njit(lambda x: x + 1)(1); print('awkward' in sys.modules)"


def printed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()[-1]


def test_only_the_program_leaves_out_the_extensions():
    pytest.importorskip("awkward")
    assert printed(KERNEL) == "True"
    assert printed(f"import mlreco.numba_extensions as e; e.leave_out_numba_extensions(); {KERNEL}") == "False"


def test_only_the_program_leaves_out_linear_algebra():
    kernel = "import numba, numpy as np; numba.njit(lambda x: x @ x)(np.eye(2))"
    assert printed(f"{kernel}; import sys; print('scipy.linalg' in sys.modules)") == "True"
    left_out = "import sys, mlreco.numba_extensions as e; e.leave_out_numba_extensions()"
    assert printed(f"{left_out}; {KERNEL}; print('scipy.linalg' in sys.modules)") == "False"
    assert printed(f"{left_out}; {kernel}; print('scipy.linalg' in sys.modules)") == "True"  # a user's kernel has it
    assert printed(f"import scipy.linalg; {left_out}; {kernel}; print('scipy.linalg' in sys.modules)") == "True"


def test_an_inference_imports_no_extension(tmp_path):
    words = ["inference", "config/demo.cfg", "-o", str(tmp_path / "output.h5"), "--iterations", "1"]
    found = "[name for name in ('awkward', 'scipy.linalg') if name in sys.modules]"
    assert printed(f"import sys; from mlreco.cli import main; main({words}); print({found})") == "[]"
