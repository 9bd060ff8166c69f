"""What Triton's kernels need: a device of NVIDIA, Triton, and that with which Triton makes what starts kernels."""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import torch

OLDEST_TRITON = (3, 6)
"""Oldest version whose compiled kernels are known to take the arguments that are given to them here."""

OLDEST_DEVICE = (8, 0)
"""Oldest compute capability that Triton supports (Ampere)."""

_COMPILERS = ("gcc", "clang")
"""C compilers that Triton looks for, unless the environment variable CC names one."""


@lru_cache
def lacking_on(device: torch.device) -> str | None:
    """Return what is in the way of Triton's kernels on a device, and what would be right; None where they run."""
    if device.type != "cuda" or torch.version.cuda is None:
        return "they are for devices of NVIDIA"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_DEVICE:
        name = torch.cuda.get_device_name(device)
        return f"{name} has the compute capability {_dotted(capability)}; {_dotted(OLDEST_DEVICE)} (Ampere) is needed"
    return lacking_to_compile()


@lru_cache
def lacking_to_compile() -> str | None:
    """Return what Triton lacks to compile kernels, and what would be right; None where it compiles."""
    return _lacking_triton() or _lacking_compiler() or _lacking_headers()


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _lacking_triton() -> str | None:
    wanted = f"Triton {_dotted(OLDEST_TRITON)} or later, which comes with torch 2.10 and later for CUDA, is needed"
    try:
        version = metadata.version("triton")
    except metadata.PackageNotFoundError:
        return f"Triton is not installed; {wanted}"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < OLDEST_TRITON:
        return f"Triton {version} is installed; {wanted}"
    return None


def _lacking_compiler() -> str | None:
    named = os.environ.get("CC")
    if named is not None:
        return None if shutil.which(named) else f"the environment variable CC names '{named}', which is no program"
    if any(map(shutil.which, _COMPILERS)):
        return None
    return f"there is no C compiler; install {' or '.join(_COMPILERS)}, or let the environment variable CC name one"


def _lacking_headers() -> str | None:
    scheme = sysconfig.get_default_scheme()
    scheme = "posix_prefix" if scheme == "posix_local" else scheme  # Debian's headers are not where its packages are
    header = Path(sysconfig.get_path("include", scheme)) / "Python.h"
    return None if header.is_file() else f"there is no {header}; install Python's headers (python3-dev)"
