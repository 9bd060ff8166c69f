"""What the program says to the person at the terminal: results on stdout, remarks and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def say(text: str = "") -> None:
    """Write a result to stdout, with a newline."""
    sys.stdout.write(f"{text}\n")


def remark(text: str) -> None:
    """Write one line about the run to stderr; line breaks in the text become spaces."""
    sys.stdout.flush()
    sys.stderr.write(f"mlreco: {' '.join(text.split())}\n")
    sys.stderr.flush()


def progress(
    items: Iterable[Any] | None = None, *, total: int | None = None, description: str = "", unit: str = "it"
) -> tqdm:
    """Return a progress bar around some items, or one to call ``update`` on; silent if stderr is no terminal.

    The bar shows the rate and the time left; ``bar.set_postfix(loss=...)`` adds numbers behind it.

    Args:
        items: what is iterated over.
        total: number of steps, where `items` has no length.
        description: text before the bar.
        unit: what is counted.
    """
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    return tqdm(items, total=total, desc=description, unit=unit, disable=quiet, dynamic_ncols=True, smoothing=0.1)
