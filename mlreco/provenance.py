"""Provenance of results: versions, revision of the source, machine."""

from __future__ import annotations

import platform
import socket
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from mlreco.version import __version__

PACKAGES = ("torch", "numpy", "numba", "h5py", "spconv", "spconv-cu126", "triton", "uproot")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the versions of this program, Python and the packages that compute, those that are installed."""
    found = {"mlreco": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def git_revision() -> str:
    """Return the commit of the checkout that this package lies in, with ``-dirty`` where files differ; else nothing."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()
