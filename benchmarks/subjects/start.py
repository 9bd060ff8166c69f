"""How long a process takes from its start to its end when there is next to nothing to compute."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import children
from benchmarks.images import SAMPLE
from benchmarks.measurement import OURS, Measurement, Settings

TITLE = "Start: whole processes that do one event"
_CONFIG = SAMPLE.parent
_LATER = 3


def measure(settings: Settings) -> Iterator[Measurement]:
    """Time inference and one training step, first without any compiled code kept from before, then with it."""
    later = 1 if settings.quick else _LATER
    for name, words in (("inference", _inference), ("training", _training)):
        with tempfile.TemporaryDirectory() as kept:
            first, *others = [_seconds(words, kept) for _ in range(1 + later)]
        yield Measurement(f"{name}, first start", OURS, 0, settings.threads[-1], (first,), note="compiles")
        yield Measurement(f"{name}, later starts", OURS, 0, settings.threads[-1], tuple(others))


def _inference(folder: Path) -> list[str]:
    return ["inference", str(_CONFIG / "demo.cfg"), "-o", str(folder / "output.h5"), "--iterations", "1"]


def _training(folder: Path) -> list[str]:
    values = {
        "trainval.weight_prefix": folder / "weights",
        "trainval.log_dir": folder / "log",
        "iotool.num_workers": 0,
        "iotool.batch_size": 1,
    }
    options = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    return ["train", str(_CONFIG / "spice_cpu.cfg"), "--iterations", "1", *options]


def _seconds(words: Callable[[Path], list[str]], kept: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return children.run(["bin/run.py", *words(Path(folder))], {"NUMBA_CACHE_DIR": kept})[1]
