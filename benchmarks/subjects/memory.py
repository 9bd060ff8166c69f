"""Peak resident memory of a process that infers one image, as the operating system counts it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import children
from benchmarks.measurement import OURS, Measurement, Settings
from mlreco.allocator import keep_freed_memory

TITLE = "Peak resident memory of a process that infers one image"
CASE = "inference, libraries included"
PLAIN, NOTHING = "plain torch", "libraries only"
_VOXELS, _QUICK = (16_300, 150_000), (200,)
_WHO = (NOTHING, OURS, PLAIN, "spconv")


def measure(settings: Settings) -> Iterator[Measurement]:
    """Start a process for every contender and size, and ask it for its peak."""
    threads = settings.threads[-1]
    for voxels in _QUICK if settings.quick else _VOXELS:
        for who in (OURS,) if settings.quick else _WHO:
            allowed = 1 if who == "spconv" else threads
            words = ["-m", "benchmarks.subjects.memory", who, str(voxels), str(allowed), str(int(settings.quick))]
            printed, _ = children.run(words)
            if printed.strip():
                peak = (float(printed.split()[-1]),)
                yield Measurement(CASE, who, voxels, allowed, peak, unit="MB", compared=who != NOTHING)


def peak_megabytes() -> float:
    """Return the peak resident memory of this process in 10^6 bytes.

    Linux keeps the peak of ``getrusage`` from before a process became another program; its own record does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _infer(who: str, voxels: int, threads: int, quick: bool) -> float | None:
    """Return the peak of this process after two inferences; None where the contender is not installed."""
    keep_freed_memory()  # as the program does
    import torch

    from benchmarks.subjects.engine import Job, runs

    torch.set_num_threads(threads)
    job = Job.of(voxels, Settings(quick=quick))
    if who == NOTHING:
        return peak_megabytes()
    run: Callable[[], None] | None = next((run for name, _, run in runs(job, training=False) if name == who), None)
    if run is None:
        return None
    run()
    run()
    return peak_megabytes()


if __name__ == "__main__":
    _peak = _infer(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
    print("" if _peak is None else _peak)
