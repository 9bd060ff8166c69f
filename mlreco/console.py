"""Output for the user at a terminal: results on stdout, remarks on stderr."""

from __future__ import annotations

import io
import sys
from functools import cache


def write_what_the_terminal_cannot() -> None:
    """Write characters that a terminal does not have, such as those of an ASCII one, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str = "") -> None:
    """Write a result to stdout, with a newline."""
    sys.stdout.write(f"{text}\n")


def remark(text: str) -> None:
    """Write one line about the run to stderr; line breaks in the text become spaces."""
    sys.stdout.flush()
    sys.stderr.write(f"mlreco: {' '.join(text.split())}\n")
    sys.stderr.flush()


@cache
def remark_once(text: str) -> None:
    """Write one line about the run to stderr, unless this process has written it before."""
    remark(text)
