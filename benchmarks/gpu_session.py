"""``python -m benchmarks.gpu_session FOLDER``: all that is to be seen on a GPU, in a quarter of an hour.

In this order: the CUDA tests; ``benchmarks.gpu``; 300 iterations of the paper's configuration with batches of 32 in
float32, fp16 and bf16; inference from file to file with batches of 1 and 16. Each step is a process of its own with a
limit of time; one that fails or takes too long does not keep the next from running. What is known stands in
``session.md`` after every step.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.program import ROOT
from mlreco.atomic import write_text

SAMPLE = ROOT / "config/sample/thin_sample.h5"
PRECISIONS = {"float32": "off", "fp16": "fp16", "bf16": "bf16"}
TOLD = (10, 50, 100, 200, 300)
"""Iterations whose loss is told."""
_GRACE = 15.0
"""Seconds between the request to end and the end."""


@dataclass(frozen=True)
class Step:
    """A command.

    Attributes:
        name: of the step, and of the file with what it said.
        words: after ``python``.
        seconds: that it may take.
        found: reads what it came to, as lines of the report.
    """

    name: str
    words: Sequence[str | Path]
    seconds: float
    found: Callable[[Path], list[str]]


def steps(folder: Path, source: Path, gpus: str, quick: bool) -> Iterator[Step]:
    """Yield the steps in their order.

    Args:
        folder: where they write.
        source: events with labels.
        gpus: number of the GPU; empty for the CPU.
        quick: tiny sizes, to see that everything runs.
    """
    tests = [ROOT / "test/benchmarks"] if quick else [ROOT / "test"]
    pytest = ["-m", "pytest", "-q", "-m", "cuda", "--continue-on-collection-errors"]  # a bare machine lacks packages
    yield Step("tests", [*pytest, *tests], 180, _last_line)
    size = ["--quick"] if quick else ["--rounds", "3"]
    yield Step("benchmark", ["-m", "benchmarks.gpu", "--device-only", *size, "-o", folder], 240, _table(folder))
    for name, amp in PRECISIONS.items():
        place = folder / f"train-{name}"
        yield Step(f"train-{name}", _training(place, source, gpus, amp, quick), 100, _losses(place))
    for size_of_batch in (1, 16):
        output = folder / f"inference-{size_of_batch}.h5"
        chain = ["-m", "mlreco", "inference", "thin", "-s", source, "-o", output, "--gpus", gpus]
        chain += ["--batch-size", str(size_of_batch), *(["-n", "0:2"] if quick else [])]
        yield Step(f"inference-{size_of_batch}", chain, 90, _times(output))


def _training(place: Path, source: Path, gpus: str, amp: str, quick: bool) -> list[str | Path]:
    settings = {
        "trainval.gpus": gpus or "''",
        "trainval.amp": amp,
        "trainval.weight_prefix": place / "weights",
        "trainval.log_dir": place,
        "trainval.report_step": 1 if quick else 10,
        "iotool.num_workers": 0 if quick else max(2, min(12, machine.usable_cpus() - 2)),
        "iotool.batch_size": 2 if quick else 32,
    }
    if quick:
        settings |= {"model.modules.spice.filters": 4, "model.modules.spice.depth": 2}
    words = ["-m", "mlreco", "train", "spice", "-s", source, "--iterations", "2" if quick else "300"]
    return words + [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def _last_line(said: Path) -> list[str]:
    lines = said.read_text(errors="replace").split("\n")
    return [next((line for line in reversed(lines) if line.strip()), "nothing was said")]


def _table(folder: Path) -> Callable[[Path], list[str]]:
    """Return what reads the table of ``benchmarks.gpu``, as far as it was written."""

    def table(said: Path) -> list[str]:
        written = folder / "gpu.md"
        if not written.exists():
            return _last_line(said)
        return ["", *(line for line in written.read_text().splitlines() if line.startswith("|"))]

    return table


def _losses(place: Path) -> Callable[[Path], list[str]]:
    """Return what reads the losses, the rate and the share of waiting of a training."""

    def losses(said: Path) -> list[str]:
        logs = sorted(place.glob("train_log-*.csv"))
        if not logs:
            return _last_line(said)
        with logs[-1].open(newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            return _last_line(said)
        chosen = [row for row in rows if int(row["iter"]) in TOLD] or rows[-1:]
        told = ", ".join(f"{row['loss']} after {row['iter']}" for row in chosen)
        steady = rows[len(rows) // 3 :]
        titer, waiting, rate = (
            float(np.median([float(row[name]) for row in steady])) for name in ("titer", "waiting", "events_per_s")
        )
        rest = f"{1 / titer:.2f} iterations/s, {rate:.0f} events/s, {waiting:.1%} waiting, {rows[-1]['memory_gb']} GB"
        return [f"loss {told}; {rest}"]

    return losses


def _times(output: Path) -> Callable[[Path], list[str]]:
    """Return what reads the times of an inference by event."""

    def times(said: Path) -> list[str]:
        from mlreco.inference.reconstruction import TIME_COLUMNS
        from mlreco.iotools import HDF5Reader

        if not output.exists():
            return _last_line(said)
        with HDF5Reader(output) as reader:
            events = [reader.event(number, ("times", "energies")) for number in range(len(reader))]
        medians = np.median(np.concatenate([event["times"] for event in events]), axis=0)
        voxels = np.median([len(event["energies"]) for event in events])
        told = ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in zip(TIME_COLUMNS, medians, strict=True))
        return [f"{len(events)} events of {voxels:.0f} voxels, medians by event: {told}"]

    return times


def run(step: Step, folder: Path, seconds: float) -> str:
    """Run a step and return how it ended.

    Args:
        step: the step.
        folder: where what it says goes, to ``<name>.log``.
        seconds: that it may take; then it is asked to end, and soon after made to.
    """
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    with (folder / f"{step.name}.log").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, *map(str, step.words)],
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        how = ""
        for end, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, _GRACE)):
            try:
                process.wait(timeout=patience)
                break
            except subprocess.TimeoutExpired:
                how = ", out of time"
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, end)
        status = process.wait()
    return f"exit status {status} after {time.monotonic() - began:.0f} s{how}"


def main(words: Sequence[str] | None = None) -> int:
    """Run the steps; return how many of them failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_session", description=__doc__)
    parser.add_argument("folder", type=Path, help="where everything goes")
    parser.add_argument("-s", "--source", type=Path, default=SAMPLE, help="labelled events (the sample)")
    parser.add_argument("--gpus", default="0", help="number of the GPU; '' for the CPU")
    parser.add_argument("--minutes", type=float, default=14.0, help="that all steps may take together")
    parser.add_argument("--only", nargs="*", help="names of the steps to run, such as tests benchmark")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    arguments = parser.parse_args(words)
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + 60 * arguments.minutes
    found = machine.describe()
    report = [f"# What was seen on a GPU, {found['date'][:10]}", "", f"{found['cpu']}, {found['cpus']} CPUs; {_gpu()}."]
    failed = 0
    for step in steps(folder, arguments.source.resolve(), arguments.gpus, arguments.quick):
        if arguments.only and step.name not in arguments.only:
            continue
        left = ends - time.monotonic() - _GRACE
        how = run(step, folder, min(step.seconds, left)) if left > 0 else "left out: no time was left"
        failed += not how.startswith("exit status 0 ")
        try:
            lines = step.found(folder / f"{step.name}.log") if left > 0 else []
        except Exception as error:  # whatever a step that was cut off has left must not end the others
            lines = [f"what it wrote cannot be read: {type(error).__name__}: {error}"]
        report += ["", f"## {step.name}", "", how, *lines]
        write_text(folder / "session.md", "\n".join(report) + "\n")
        print("\n".join(report[-len(lines) - 3 :]), flush=True)
    return failed


def _gpu() -> str:
    """Return the name of the GPU and of what drives it, without taking hold of it."""
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "no GPU"


if __name__ == "__main__":
    sys.exit(main())
