"""Measurements that need a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(words: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[str, float]:
    """Run Python with these words in the project's folder; like any user's, it keeps the bytecode of modules.

    Returns:
        What it printed, and the seconds from its start to its end.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables = {**kept, "PYTHONPATH": str(ROOT), **(environment or {})}
    started = time.perf_counter()
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout, time.perf_counter() - started
