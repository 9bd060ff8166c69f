"""Traces of the figures: outlines, bars, cells and boxes, computed here and only drawn by the browser."""

from __future__ import annotations

from html import escape

import numpy as np

from mlreco.visualization.figure_style import BAR, GREY, SEQUENTIAL


def box_statistics(values: np.ndarray) -> dict[str, float]:
    """Return quartiles and whiskers of a box plot: the outermost values within 1.5 IQR of the box (Tukey 1977)."""
    first, median, third = np.percentile(values, [25, 50, 75]).tolist()
    reach = 1.5 * (third - first)
    low = float(values[values >= first - reach].min(initial=first))
    high = float(values[values <= third + reach].max(initial=third))
    return {"q1": first, "median": median, "q3": third, "lowerfence": low, "upperfence": high}


def outline(edges: np.ndarray, heights: np.ndarray, name: str, colour: str) -> dict:
    """Return the outline of a histogram, interrupted at empty bins, which a logarithmic axis cannot show."""
    x, y = np.repeat(edges, 2)[1:-1].round(6).tolist(), []
    for height in heights.tolist():
        y += [height or None, height or None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "name": escape(name),
        "line": {"color": colour, "width": 1.8},
    }


def bars(edges: np.ndarray, counts: np.ndarray) -> dict:
    """Return the bars of a histogram."""
    centres, width = (edges[1:] + edges[:-1]) / 2, float(edges[1] - edges[0])
    x = centres.round(6).tolist()
    return {"type": "bar", "x": x, "y": counts.tolist(), "width": width, "marker": {"color": BAR}}


def heatmap(x: list | np.ndarray, y: list | np.ndarray, cells: np.ndarray) -> dict:
    """Return cells of values between 0 and 1; x and y are their edges or their labels."""
    axes = {
        name: values.round(6).tolist() if isinstance(values, np.ndarray) else values
        for name, values in zip("xy", (x, y), strict=True)
    }
    scale = {"colorscale": SEQUENTIAL, "zmin": 0, "zmax": 1, "showscale": False}
    return {"type": "heatmap", **axes, "z": cells.round(4).tolist(), **scale}


def boxes(true: np.ndarray, values: np.ndarray, colour: str) -> dict:
    """Return a box for the values at each true number."""
    counts = np.unique(true).tolist()
    drawn = [box_statistics(values[true == count]) for count in counts]
    columns = {key: [round(box[key], 5) for box in drawn] for key in (drawn[0] if drawn else ())}
    look = {"fillcolor": colour, "opacity": 0.85, "line": {"width": 1, "color": GREY}, "width": 0.7}
    return {"type": "box", "x": counts, **columns, **look}
