"""One picture of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measurement import OURS, Measurement
from mlreco.atomic import atomic_path

_COMPARED = ("inference", "training step")


def draw(path: Path, results: Mapping[str, Sequence[Measurement]]) -> bool:
    """Write a PNG: times of all contenders, and inference time against the number of voxels.

    Returns:
        False where matplotlib is not installed or nothing was measured that can be drawn.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    panels = []
    for case in _COMPARED:
        if "engine" in results:
            panels.append((_bars, [m for m in results["engine"] if m.case == case]))
    if "scaling" in results:
        panels.append((_lines, results["scaling"]))
    if not panels:
        return False
    figure = Figure(figsize=(5 * len(panels), 3.5), layout="constrained")
    for (panel, measurements), axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        panel(axes, measurements)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    return True


def _bars(axes: Any, measurements: Sequence[Measurement]) -> None:
    shown = sorted(measurements, key=lambda m: -m.least)
    labels = [f"{m.contender}, {m.threads} thr." for m in shown]
    colours = ["C0" if m.contender == OURS else "C7" for m in shown]
    bars = axes.barh(labels, [1e3 * m.least for m in shown], color=colours)
    axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    axes.margins(x=0.12)
    axes.tick_params(labelsize=8)
    axes.set_xlabel("ms (least)")
    axes.set_title(f"{shown[0].case}, {shown[0].size:,} voxels", fontsize=10)


def _lines(axes: Any, measurements: Sequence[Measurement]) -> None:
    for threads in sorted({m.threads for m in measurements}):
        line = sorted((m for m in measurements if m.threads == threads), key=lambda m: m.size)
        axes.plot([m.size / 1e3 for m in line], [1e3 * m.least for m in line], "o-", label=f"{OURS}, {threads} thr.")
    axes.set_xlabel("voxels (thousands)")
    axes.set_ylabel("inference, ms (least)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
