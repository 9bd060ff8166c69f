"""The figures of a report, after those of Koh et al. 2020; every histogram is binned here, so pages stay small."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from mlreco.post_processing.evaluation.segmentation import SegmentationEvaluation
from mlreco.post_processing.evaluation.summary import ALL, Evaluation
from mlreco.visualization.colours import class_colours
from mlreco.visualization.figure_style import Figure, grid_figure
from mlreco.visualization.figure_traces import bars, boxes, heatmap, outline
from mlreco.visualization.instance_extent import InstanceExtents

METRIC_TITLES = {"purity": "Purity", "efficiency": "Efficiency", "ari": "ARI"}

_METRIC_BIN = 0.05
_EXTENT_BINS = 40
_TIME_BINS = 40
_MAX_COUNT = 12


def metric_distributions(evaluation: Evaluation) -> Figure:
    """Return histograms of each metric over events, a line a class (figure 5 of the paper)."""
    traces = []
    lowest = -math.ceil(math.log10(max(len(np.unique(evaluation.rows["event"])), 10)))
    for column, metric in enumerate(METRIC_TITLES):
        values = evaluation.rows[metric]
        low = min(0.0, np.floor(values.min(initial=0.0) / _METRIC_BIN) * _METRIC_BIN)
        edges = np.linspace(low, 1, round((1 - low) / _METRIC_BIN) + 1)
        for number, (name, colour) in enumerate(class_colours(list(evaluation.classes)).items()):
            of_class = values[evaluation.rows["class"] == number]
            if len(of_class):
                counts, _ = np.histogram(np.clip(of_class, low, 1), edges)
                line = outline(edges, counts / len(of_class), name, colour)
                traces.append((0, column, {**line, "legendgroup": name, "showlegend": column == 0}))
    return grid_figure(
        traces,
        list(METRIC_TITLES.values()),
        [{"title": {"text": title, "standoff": 8}} for title in METRIC_TITLES.values()],
        [
            {
                "title": {"text": f"fraction of events / {_METRIC_BIN}"},
                "type": "log",
                "dtick": 1,
                "range": [lowest - 0.15, 0.1],
                "exponentformat": "power",
            }
        ],
        row_height=320,
        showlegend=True,
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.2, "yanchor": "top"},
        margin={"l": 70, "r": 20, "t": 40, "b": 90},
    )


def margins_against_extents(extents: InstanceExtents, classes: tuple[str, ...]) -> Figure | None:
    """Return two-dimensional histograms of instances: margin against spatial extent (figure 6 of the paper)."""
    usable = np.isfinite(extents.margins) & np.isfinite(extents.extents)
    present = [number for number in range(len(classes)) if (usable & (extents.classes == number)).any()]
    if not present:
        return None
    extent_edges = np.linspace(0, _upper(extents.extents[usable]), _EXTENT_BINS + 1)
    margin_edges = np.linspace(0, _upper(extents.margins[usable]), _EXTENT_BINS + 1)
    traces = []
    for column, number in enumerate(present):
        member = usable & (extents.classes == number)
        counts, _, _ = np.histogram2d(extents.margins[member], extents.extents[member], [margin_edges, extent_edges])
        traces.append((0, column, heatmap(extent_edges, margin_edges, counts / counts.max(initial=1))))
    horizontal = {
        "title": {"text": "spatial extent [voxels]", "standoff": 8},
        "range": [0, extent_edges[-1]],
        "showgrid": False,
    }
    vertical = {
        "title": {"text": "mean predicted margin", "standoff": 8},
        "range": [0, margin_edges[-1]],
        "showgrid": False,
    }
    return grid_figure(traces, [escape(classes[n]) for n in present], [horizontal] * len(present), [vertical])


def confusion(segmentation: SegmentationEvaluation) -> Figure:
    """Return the matrix of predicted against true classes of voxels, normalised for each true class."""
    names = [escape(name) for name in segmentation.classes]
    matrix = segmentation.confusion / np.maximum(segmentation.confusion.sum(axis=1, keepdims=True), 1)
    texts = [[f"{100 * cell:.1f}" if cell else "" for cell in row] for row in matrix]
    cells = {**heatmap(names, names, matrix), "text": texts, "texttemplate": "%{text}", "textfont": {"size": 12}}
    horizontal = {"title": {"text": "predicted class", "standoff": 8}, "type": "category"}
    vertical = {"title": {"text": "true class", "standoff": 8}, "type": "category", "autorange": "reversed"}
    title = f"{100 * segmentation.accuracy:.1f} % of voxels right"
    return grid_figure([(0, 0, cells)], [title], [horizontal], [vertical], row_height=330, width=560)


def counts_matrices(evaluation: Evaluation) -> Figure | None:
    """Return true against predicted numbers of instances, normalised for each true number (figure 7 of the paper)."""
    present = _present_classes(evaluation)
    if not present:
        return None
    traces = []
    for column, number in enumerate(present):
        member = evaluation.rows["class"] == number
        true, predicted = (evaluation.rows[name][member] for name in ("true_instances", "pred_instances"))
        matrix = counts_matrix(true, predicted, _MAX_COUNT)
        labels = [*map(str, range(1, _MAX_COUNT)), f"{_MAX_COUNT}+"]
        texts = [[f"{100 * cell:.0f}" if cell >= 0.005 else "" for cell in row] for row in matrix]
        cells = heatmap(labels, labels, matrix)
        traces.append((0, column, {**cells, "text": texts, "texttemplate": "%{text}", "textfont": {"size": 8}}))
    horizontal = {
        "title": {"text": "true instances", "standoff": 8},
        "type": "category",
        "tickangle": 0,
        "tickfont": {"size": 9},
    }
    vertical = {"title": {"text": "predicted instances", "standoff": 8}, "type": "category", "tickfont": {"size": 9}}
    titles = [escape(evaluation.classes[number]) for number in present]
    return grid_figure(traces, titles, [horizontal] * len(present), [vertical])


def counts_matrix(true: np.ndarray, predicted: np.ndarray, most: int) -> np.ndarray:
    """Count events by true and predicted number of instances.

    Args:
        true: (E,) number of true instances, at least 1.
        predicted: (E,) number of predicted instances, at least 1.
        most: numbers from here on share the last bin.

    Returns:
        (most, most) float: row = predicted, column = true; columns with events sum to 1, the others are 0.
    """
    matrix = np.zeros((most, most))
    np.add.at(matrix, (np.clip(predicted, 1, most) - 1, np.clip(true, 1, most) - 1), 1)
    return matrix / np.maximum(matrix.sum(axis=0), 1)


def metrics_against_counts(evaluation: Evaluation) -> Figure | None:
    """Return box plots of each metric for each true number of instances (figure 8 of the paper)."""
    present = _present_classes(evaluation)
    if not present:
        return None
    colours = list(class_colours(list(evaluation.classes)).values())
    traces = []
    for column, number in enumerate(present):
        member = evaluation.rows["class"] == number
        true = np.clip(evaluation.rows["true_instances"][member], 1, _MAX_COUNT)
        for row, metric in enumerate(METRIC_TITLES):
            traces.append((row, column, boxes(true, evaluation.rows[metric][member], colours[number])))
    ticks = {"tickvals": [1, 3, 6, 9, _MAX_COUNT], "ticktext": ["1", "3", "6", "9", f"{_MAX_COUNT}+"]}
    horizontal = {
        "title": {"text": "true instances", "standoff": 8},
        "range": [0.3, _MAX_COUNT + 0.7],
        "showgrid": False,
        **ticks,
    }
    vertical = [{"title": {"text": title, "standoff": 8}, "range": [-0.05, 1.05]} for title in METRIC_TITLES.values()]
    titles = [escape(evaluation.classes[number]) for number in present]
    return grid_figure(traces, titles, [horizontal] * len(present), vertical, row_height=200)


def time_histograms(times: np.ndarray, columns: tuple[str, ...]) -> Figure:
    """Return histograms of the time an event takes, a panel a step (figure 10 of the paper).

    Args:
        times: (E, k) seconds.
        columns: names of the k steps.
    """
    traces = []
    for column, values in enumerate(times.T.astype(float)):
        edges = np.linspace(0, 1.5 * _upper(values, 95), _TIME_BINS + 1)
        counts, _ = np.histogram(np.clip(values, 0, edges[-1]), edges)
        traces.append((0, column, bars(edges, counts)))
    titles = [f"{escape(n)}: mean {t:.3g} s" for n, t in zip(columns, times.mean(axis=0), strict=True)]
    horizontal = {"title": {"text": "time per event [s]", "standoff": 8}, "rangemode": "tozero"}
    return grid_figure(traces, titles, [horizontal] * len(columns), [{"title": {"text": "events", "standoff": 8}}])


def _present_classes(evaluation: Evaluation) -> list[int]:
    return [number for number in np.unique(evaluation.rows["class"]).tolist() if number != ALL]


def _upper(values: np.ndarray, percentile: float = 99) -> float:
    return float(np.percentile(values, percentile)) * 1.05 or 1.0
