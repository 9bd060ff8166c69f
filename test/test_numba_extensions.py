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


def test_an_inference_imports_no_extension(tmp_path):
    words = ["inference", "config/demo.cfg", "-o", str(tmp_path / "output.h5"), "--iterations", "1"]
    code = f"import sys; from mlreco.cli import main; main({words}); print('awkward' in sys.modules)"
    assert printed(code) == "False"
