"""Python's search for reference cycles that nothing else holds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search_while_importing(library: str) -> Iterator[None]:
    """Look for no garbage inside the block that imports a large library, nor later among all that is there at its end.

    It stays until the end of the process, but would be looked through again and again while it grows, and once more at
    the end: a third of the time that the import of torch takes.

    Args:
        library: name of the library; where it is imported already, the block is like any other.
    """
    if library in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
