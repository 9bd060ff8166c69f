"""The command line, as benchmarks run it: in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def mlreco(*words: object) -> None:
    """Run a command of the program.

    Raises:
        subprocess.CalledProcessError: it ended with an error, which it has told.
    """
    subprocess.run([sys.executable, str(ROOT / "bin" / "run.py"), *map(str, words)], check=True)
