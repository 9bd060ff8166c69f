"""Pages of the documentation that are written from the code: written anew, or compared with it."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(page: Path, text: str) -> int:
    """Write a page, or with ``--check`` on the command line compare it; return the exit status."""
    if "--check" in sys.argv:
        return 0 if page.is_file() and page.read_text(encoding="utf-8") == text else 1
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return 0
