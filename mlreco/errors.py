"""The one exception that a user sees as a message instead of a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input, the configuration or the environment, described in one line.

    The message names the file, event or key and says what would be right. The command line prints it and exits
    with status 2.
    """


class WriteError(UserError):
    """A file cannot be written because of the disk, the folder or a permission."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean 'depth'?`` for a misspelt word, or the list of valid words.

    Args:
        word: what the user wrote.
        valid: the words that would have been accepted.
    """
    words = sorted(str(name) for name in valid)
    match = difflib.get_close_matches(str(word), words, n=1)
    if not match:
        in_lower_case = {name.lower(): name for name in reversed(words)}
        close = difflib.get_close_matches(str(word).lower(), in_lower_case, n=1)
        match = [in_lower_case[one] for one in close]
    if match:
        return f"; did you mean '{match[0]}'?"
    return f"; valid: {', '.join(words)}" if words else ""
