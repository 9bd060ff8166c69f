"""Write constraints.txt: one release of every package, of mlreco and of its extras, for each supported Python.

    python tools/resolve_pins.py                            # keeps the pins that still fit, adds what is missing
    python tools/resolve_pins.py --upgrade                  # the newest releases of everything
    python tools/resolve_pins.py --upgrade-package numpy    # the newest release of one package

Needs uv (``pip install uv``), whose resolver answers for all Pythons from ``python_requires`` on at once and puts a
marker at a pin that holds for some of them only. Nothing is installed. Options go to ``uv pip compile``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = (
    "# Releases that fit together, for CPython 3.10 to 3.13; written by tools/resolve_pins.py.\n"
    "# Use: pip install -c constraints.txt -e '.[dev]'\n"
)
FOLLOWS_TORCH = re.compile(r"(nvidia-|cuda-|triton)")
"""Packages that a release of torch asks for by exact version: its pin is theirs."""


def oldest_python() -> str:
    """Return the first supported version, from ``python_requires`` of setup.py."""
    return re.search(r'python_requires=">=([\d.]+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))[1]


def resolve(options: list[str]) -> str:
    """Run uv and return its pins, a line each.

    Raises:
        subprocess.CalledProcessError: no set of releases fits; uv has said why.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "setup.py", "--all-extras", "--universal", "--quiet"]
    command += ["--python-version", oldest_python(), "--no-header", "--no-annotate", "--output-file", "constraints.txt"]
    subprocess.run([*command, *options], cwd=ROOT, check=True)
    return CONSTRAINTS.read_text(encoding="utf-8")


def main() -> int:
    """Resolve, and put the header above what uv wrote."""
    before = CONSTRAINTS.read_text(encoding="utf-8")
    try:
        lines = [line for line in resolve(sys.argv[1:]).splitlines() if not FOLLOWS_TORCH.match(line)]
    except subprocess.CalledProcessError as error:
        CONSTRAINTS.write_text(before, encoding="utf-8")
        return error.returncode
    CONSTRAINTS.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
