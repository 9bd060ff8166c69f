"""On what the numbers were measured."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "mlreco",
    "torch",
    "numba",
    "llvmlite",
    "numpy",
    "scikit-learn",
    "spconv",
    "spconv-cu126",
    "triton",
    "sparseconvnet",
    "MinkowskiEngine",
)
_SETTINGS = ("OMP_", "KMP_", "MKL_", "NUMBA_")


def cpu_model() -> str:
    """Return the name of the CPU as the operating system gives it."""
    source = Path("/proc/cpuinfo")
    if source.exists():
        for line in source.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Return date, CPU, load and versions."""
    from mlreco.sparse import UNIT
    from mlreco.version import __version__

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "mlreco": __version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "vector_unit": UNIT.name,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(_SETTINGS)},
    }
