"""What all figures of a report share: one look on screen and in print."""

from __future__ import annotations

from collections.abc import Sequence

Figure = dict
"""A plotly figure as JSON holds it: ``data``, ``layout``."""

GREY = "#5d6b7a"
BAR = "#2b7bba"
SEQUENTIAL = [[0, "#ffffff"], [0.05, "#dcebf7"], [0.3, "#86bfe0"], [0.65, "#2b7bba"], [1, "#08306b"]]

_FONT = {"family": "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif", "size": 12, "color": "#1d2733"}
_PANEL_GAP = 0.08
_AXIS = {
    "showline": True,
    "mirror": True,
    "linecolor": "#3c4854",
    "ticks": "outside",
    "tickcolor": "#3c4854",
    "ticklen": 4,
    "gridcolor": "#e6eaee",
    "zeroline": False,
    "automargin": True,
}


def grid_figure(
    traces: Sequence[tuple[int, int, dict]],
    titles: Sequence[str],
    x_axes: Sequence[dict],
    y_axes: Sequence[dict],
    *,
    row_height: int = 290,
    **layout: object,
) -> Figure:
    """Lay traces out on a grid of panels.

    Args:
        traces: row, column (from 0, row 0 on top) and plotly trace.
        titles: one for each column, above the top row.
        x_axes: layout of the x axis of each column; its title is shown under the lowest row.
        y_axes: layout of the y axis of each row; its title is shown at the first column.
        row_height: height of a row of panels, pixels.
        **layout: further entries of the figure's layout.
    """
    rows, columns = len(y_axes), len(x_axes)
    axes, data = {}, []
    for row in range(rows):
        for column in range(columns):
            name = "" if row == column == 0 else str(row * columns + column + 1)
            hidden_x = {} if row == rows - 1 else {"title": None, "showticklabels": rows == 1}
            hidden_y = {} if column == 0 else {"title": None}
            axes[f"xaxis{name}"] = (
                {**_AXIS, "domain": _span(column, columns), "anchor": f"y{name}"} | x_axes[column] | hidden_x
            )
            vertical = _span(rows - 1 - row, rows, 0.05)
            axes[f"yaxis{name}"] = {**_AXIS, "domain": vertical, "anchor": f"x{name}"} | y_axes[row] | hidden_y
    for row, column, trace in traces:
        name = "" if row == column == 0 else str(row * columns + column + 1)
        data.append({**trace, "xaxis": f"x{name}", "yaxis": f"y{name}"})
    heads = [_column_title(text, _span(column, columns)) for column, text in enumerate(titles)]
    common = {
        "font": _FONT,
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "height": rows * row_height + 90,
        "margin": {"l": 70, "r": 20, "t": 40, "b": 60},
        "annotations": heads,
        "showlegend": False,
    }
    return {"data": data, "layout": {**common, **axes, **layout}}


def _span(index: int, count: int, gap: float | None = None) -> list[float]:
    gap = (_PANEL_GAP if count <= 3 else _PANEL_GAP / 2) if gap is None else gap
    width = (1 - gap * (count - 1)) / count
    start = index * (width + gap)
    return [round(start, 4), round(min(start + width, 1), 4)]


def _column_title(text: str, span: list[float]) -> dict:
    place = {"x": sum(span) / 2, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"}
    return {"text": f"<b>{text}</b>", "showarrow": False, "font": {"size": 13}, **place}
