"""Pieces of figures."""

from __future__ import annotations

from typing import Any

import numpy as np

BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#d9762b", "#3d8a4a", "#777777"


def histogram(axes: Any, values: np.ndarray, edges: np.ndarray, label: str, colour: str = BLUE, name: str = "") -> None:
    """Draw counts; values beyond the edges are in the outermost bins, NaN are left out."""
    from matplotlib.ticker import MaxNLocator

    values = np.asarray(values, np.float64)
    values = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
    axes.hist(values, edges, histtype="stepfilled", color=colour, alpha=0.75, label=name or None)
    axes.set_xlabel(label)
    axes.set_ylabel("entries")
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def points(axes: Any, x: np.ndarray, y: np.ndarray, error: np.ndarray, colour: str, name: str) -> None:
    """Draw points with error bars, (n,), or (2, n) downwards and upwards; NaN are left out."""
    known = np.isfinite(y)
    axes.errorbar(x[known], y[known], error[..., known], fmt="o", color=colour, ms=4, lw=1, label=name)


def density(axes: Any, x: np.ndarray, y: np.ndarray, edges: tuple[np.ndarray, np.ndarray]) -> None:
    """Draw a two-dimensional histogram, entries on a logarithmic scale with its bar; empty cells stay white."""
    from matplotlib.colors import LogNorm

    known = np.isfinite(x) & np.isfinite(y)
    counts, *_ = np.histogram2d(x[known], y[known], edges)
    shown = np.ma.masked_equal(counts.T, 0)
    most = max(2.0, float(counts.max(initial=0)))
    mesh = axes.pcolormesh(edges[0], edges[1], shown, cmap="viridis", norm=LogNorm(1, most), rasterized=True)
    axes.figure.colorbar(mesh, ax=axes, label="entries", pad=0.02)
