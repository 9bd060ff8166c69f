"""The pipes to and from a helper process."""

from __future__ import annotations

import subprocess
from typing import IO


def pipes_of(worker: subprocess.Popen) -> tuple[IO[bytes], IO[bytes]]:
    """Return the standard input and the standard output of a process that was started with pipes for both.

    Raises:
        ValueError: it was started without them.
    """
    if worker.stdin is None or worker.stdout is None:
        raise ValueError("a process without pipes")
    return worker.stdin, worker.stdout
