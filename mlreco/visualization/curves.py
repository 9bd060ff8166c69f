"""The curves of trainings: one page that compares runs, number by number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from mlreco.visualization.figure_style import Figure
from mlreco.visualization.page import colour_chip, html_page, html_table
from mlreco.visualization.training_logs import RunLog, Table

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2")
MOST_POINTS = 1500
"""Points of a curve; of longer ones each point is the mean of some rows."""
SMOOTHED_OVER = 15
"""A running mean is over this part of the points of a curve."""
_LEAST_SMOOTHED = 3
"""Points under a running mean; of curves with fewer there is none."""
_TITLES = ("Losses", "Terms of losses", "Accuracy and clustering", "Optimiser", "Time and memory")
_LOSSES, _TERMS, _ACCURACY, _OPTIMISATION, _TIME = range(len(_TITLES))
_EXPLAINED = (
    "Pale lines are the training, each point the mean since the one before; strong lines are running means over "
    f"a {SMOOTHED_OVER}th of a curve. Dots are validations."
)
_OPTIMISER = ("lr", "gradient_norm", "loss_scale", "skipped_steps")
_MACHINE = ("titer", "tio", "tforward", "tbackward", "tsum", "events_per_s", "waiting", "memory_gb")
_GOOD = ("accuracy", "recall", "ari", "purity", "efficiency")
_UNITS = {
    **dict.fromkeys(_MACHINE[:5], "s"),
    "events_per_s": "events / s",
    "waiting": "share of the time",
    "memory_gb": "GB",
}


def curves_page(runs: Sequence[RunLog]) -> str:
    """Return the page of some runs as HTML: lines are the training, with its running mean, dots the validation.

    Args:
        runs: one or more.
    """
    names = [name for name in dict.fromkeys(_columns(runs)) if name not in ("iter", "epoch", "skipped")]
    figures: dict[str, Figure] = {}
    sections = ["<h1>Trainings</h1>", _legend(runs), f"<p>{_EXPLAINED}</p>"]
    for group, title in enumerate(_TITLES):
        members = [name for name in names if _group(name) == group]
        if members:
            divisions = "".join(f'<div class="curve" id="figure-{escape(name)}"></div>' for name in members)
            sections.append(f'<h2>{title}</h2>\n<div class="curves">{divisions}</div>')
            figures |= {name: _figure(name, runs) for name in members}
    return html_page(
        "Trainings", "\n".join(sections), styles=["curves.css"], data={"figures": figures}, scripts=["figures.js"]
    )


def _columns(runs: Iterable[RunLog]) -> Iterable[str]:
    for run in runs:
        yield from run.training
        yield from run.validation


def _group(name: str) -> int:
    if name in _OPTIMISER:
        return _OPTIMISATION
    if name in _MACHINE:
        return _TIME
    if any(word in name for word in _GOOD):
        return _ACCURACY
    return _LOSSES if "loss" in name else _TERMS


def _legend(runs: Sequence[RunLog]) -> str:
    rows = []
    for run, colour in zip(runs, _colours(runs), strict=True):
        last = {name: values[-1] for name, values in run.training.items() if len(values)}
        told = {"validation": run.validation, "training": run.training}
        losses = ", ".join(
            f"{kind} {table['loss'][-1]:.4g}" for kind, table in told.items() if len(table.get("loss", ()))
        )
        done = f"{last.get('iter', 0):.0f}"
        rows.append((f"{colour_chip(colour)}{escape(run.name)}", done, f"{last.get('tsum', 0) / 3600:.2f} h", losses))
    return html_table(("run", "iterations", "time", "last loss"), rows)


def _colours(runs: Sequence[RunLog]) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(runs))]


def _figure(name: str, runs: Sequence[RunLog]) -> Figure:
    traces = []
    for run, colour in zip(runs, _colours(runs), strict=True):
        hover = f"{escape(run.name)}<br>iteration %{{x}}: %{{y:.5g}}<extra></extra>"
        shared = {"type": "scatter", "hovertemplate": hover}
        if name in run.training:
            traces += _lines(_points(run.training, name), {**shared, "mode": "lines"}, colour)
        if name in run.validation:
            marker = {"color": colour, "size": 7, "line": {"color": "#fff", "width": 1}}
            dotted = {"mode": "lines+markers", "marker": marker, "line": {"color": colour, "width": 1, "dash": "dot"}}
            traces.append({**shared, **_points(run.validation, name), **dotted})
    axis = {"gridcolor": "#e6eaee", "zeroline": False, "automargin": True, "showline": True, "linecolor": "#3c4854"}
    layout = {
        "title": {"text": name, "font": {"size": 13}, "x": 0.02, "xanchor": "left"},
        "xaxis": {**axis, "title": {"text": "iteration"}},
        "yaxis": {**axis, "title": {"text": _UNITS.get(name, "")}, "exponentformat": "e"},
        "margin": {"l": 55, "r": 10, "t": 32, "b": 40},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "showlegend": False,
    }
    return {"data": traces, "layout": layout}


def _lines(points: Mapping[str, list[float]], shared: Mapping[str, Any], colour: str) -> list[dict[str, Any]]:
    """Return the traces of a curve, and of its running mean where it has points enough."""
    width = len(points["y"]) // SMOOTHED_OVER
    if width < _LEAST_SMOOTHED:
        return [{**shared, **points, "line": {"color": colour, "width": 1}}]
    mean = [float(f"{value:.6g}") for value in running_mean(np.array(points["y"]), width)]
    return [
        {**shared, **points, "line": {"color": colour, "width": 1}, "opacity": 0.35},
        {**shared, "x": points["x"], "y": mean, "line": {"color": colour, "width": 2}},
    ]


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return (n,) means over ``width`` values around each of (n,), at the ends over those that there are."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    place = np.arange(len(values))
    first, end = np.maximum(place - width // 2, 0), np.minimum(place - width // 2 + width, len(values))
    return (sums[end] - sums[first]) / (end - first)


def _points(table: Table, name: str) -> Mapping[str, list[float]]:
    """Return the points of a curve, those without a number left out."""
    known = np.isfinite(table[name])
    x, y = table["iter"][known].astype(np.float64), table[name][known]
    if len(x) > MOST_POINTS:
        starts = np.linspace(0, len(x), MOST_POINTS, endpoint=False).astype(np.int64)
        sizes = np.diff(np.append(starts, len(x)))
        x, y = (np.add.reduceat(values, starts) / sizes for values in (x, y))
    return {"x": [round(value, 1) for value in x.tolist()], "y": [float(f"{value:.6g}") for value in y.tolist()]}
