"""The report: one page with the tables, figures and events that tell how well a file was reconstructed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlreco.atomic import write_text
from mlreco.post_processing.evaluation.failures import Failure, find_failures
from mlreco.post_processing.evaluation.found import evaluate_found
from mlreco.post_processing.evaluation.interactions import evaluate_interactions
from mlreco.post_processing.evaluation.segmentation import evaluate_corrected, evaluate_segmentation
from mlreco.post_processing.evaluation.summary import Evaluation
from mlreco.post_processing.evaluation.tables import event_tables
from mlreco.visualization import report_figures, report_tables
from mlreco.visualization.event_browser import write_event_browser
from mlreco.visualization.event_display import class_names
from mlreco.visualization.figure_style import Figure
from mlreco.visualization.instance_extent import instance_extents
from mlreco.visualization.page import html_page
from mlreco.visualization.report_events import ChosenEvent, choose_events, event_summary, thumbnail_document

if TYPE_CHECKING:
    from mlreco.iotools import HDF5Reader

_MULTI = "ARI multi: events with more than one cluster in truth and prediction; ARI is 0 where only one side has one."
_INSTANCES = "Purity: mean over predicted instances; the others: over true instances. An event's value counts for each."
_FOUND = (
    "Found: the true instance has more than half of the voxels in common with a predicted one that either of both has, "
    "of all classes. Genuine: predicted instances that are such a partner."
)
_INTERACTIONS = "Voxels of all classes, each with the interaction of its instance; mean over events."
_FAILURES = (
    "Kinds of Koh et al. 2020, section IV.B, found by rule in the numbers of shared voxels: events and classes where "
    "it happens, and where most voxels went wrong."
)


def write_report(
    reader: HDF5Reader,
    evaluation: Evaluation,
    path: str | os.PathLike,
    *,
    events: range | None = None,
    n_random: int = 4,
    n_worst: int = 4,
    seed: int = 0,
) -> None:
    """Write the report of an output file: an HTML file that needs no network, and beside it the browser of its events.

    Args:
        reader: the output file.
        evaluation: its evaluation, from `mlreco.post_processing.evaluate`.
        path: the page to write; it appears complete or not at all.
        events: numbers of the events that were evaluated; all if None.
        n_random: number of random events to show.
        n_worst: number of the worst events over all classes to show, beside the worst of each class.
        seed: of the random choice.

    Raises:
        UserError: the page cannot be written.
    """
    chosen, failures = chosen_and_failures(reader, evaluation, n_random, n_worst, seed, events)
    browser = browser_path(path) if chosen else None
    page = report_page(reader, evaluation, chosen, failures, None if browser is None else browser.name, events)
    if browser is not None:
        write_event_browser(reader, sorted(item.event for item in chosen), browser)
    write_text(Path(path), page)


def browser_path(report: str | os.PathLike[str]) -> Path:
    """Return the name of the page with the events of a report."""
    return Path(report).with_name(f"{Path(report).stem}_events.html")


def chosen_and_failures(
    reader: HDF5Reader,
    evaluation: Evaluation,
    n_random: int,
    n_worst: int,
    seed: int,
    events: range | None = None,
) -> tuple[list[ChosenEvent], dict[str, list[Failure]]]:
    """Return the events that a report shows, and what went wrong in all."""
    options = {name: getattr(evaluation, name) for name in ("min_voxels", "fragments", "semantics")}
    failures = find_failures(event_tables(reader, events=events, **options), evaluation.classes)
    return choose_events(evaluation, n_random, n_worst, seed, failures), failures


def report_page(
    reader: HDF5Reader,
    evaluation: Evaluation,
    chosen: Sequence[ChosenEvent],
    failures: Mapping[str, Sequence[Failure]],
    browser: str | None = None,
    events: range | None = None,
) -> str:
    """Return the report as HTML text.

    Args:
        reader: the output file.
        evaluation: its evaluation.
        chosen: the events to show.
        failures: what went wrong in all events.
        browser: name of the page with these events; no links without it.
        events: numbers of the events that were evaluated; all if None.
    """
    events = range(len(reader)) if events is None else events
    classes = class_names(reader.info)
    figures = {name: figure for name, figure in _figures(reader, evaluation, events).items() if figure is not None}
    documents = [thumbnail_document(reader, item.event, classes) for item in chosen]
    name = Path(getattr(reader, "path", "output")).name
    sections = [
        f"<h1>Clustering report: {escape(name)}</h1>",
        _provenance(reader, evaluation, events),
        _tables(reader, evaluation, failures, events),
    ]
    sections += [_figure_section(key, _CAPTIONS[key]) for key in figures]
    if chosen:
        sections.append(
            "<h2>Events</h2><p>Drag to rotate; pictures of one event turn together. Colours of predicted "
            "instances are those of the true instances they overlap most.</p>"
        )
    for number, item in enumerate(chosen):
        caption = f"Event {item.event} ({item.reason}): {event_summary(evaluation, item.event)}"
        pictures = f'<div class="pictures" data-event="{number}"></div>'
        link = f' <a href="{escape(browser)}#{item.event}">look at it</a>' if browser else ""
        sections.append(f'<figure class="event"><figcaption>{escape(caption)}{link}</figcaption>{pictures}</figure>')
    return html_page(
        f"Clustering report: {name}",
        "\n".join(sections),
        styles=["report.css"],
        data={"figures": figures, "events": documents},
        scripts=["columns.js", "figures.js", "report.js"],
    )


_CAPTIONS = {
    "confusion": "Segmentation: predicted class of the voxels of each true class, in percent of these.",
    "corrected": "Classes that the graph network corrected, of the voxels of each true class, in percent of these.",
    "metrics": "Figure 5. Distribution of the metrics over events, for each semantic class; each line sums to 1.",
    "margins": "Figure 6. Mean predicted margin of true instances against their spatial extent (standard deviation of "
    "the voxels' distances from the centre); number of instances, relative to the fullest bin of each class.",
    "counts": "Figure 7. Number of predicted against true instances, in percent of the events with that true number.",
    "boxes": "Figure 8. Metrics against the true number of instances: quartiles, median, and whiskers to the outermost "
    "event within 1.5 interquartile ranges.",
    "times": "Figure 10. Time per event of each step; the times of a batch are shared equally by its events, and the "
    "last bin holds all that is slower.",
}


def _figures(reader: HDF5Reader, evaluation: Evaluation, events: range) -> dict[str, Figure | None]:
    """Return the figures by their keys in the captions; None where the file lacks what a figure shows."""
    if not len(evaluation.rows["event"]):
        return {"times": _times(reader, events)}
    extents = instance_extents(reader, evaluation.min_voxels, events)
    segmentation, corrected = evaluate_segmentation(reader, events), evaluate_corrected(reader, events)
    return {
        "confusion": None if segmentation is None else report_figures.confusion(segmentation),
        "corrected": None if corrected is None else report_figures.confusion(corrected),
        "metrics": report_figures.metric_distributions(evaluation),
        "margins": None if extents is None else report_figures.margins_against_extents(extents, evaluation.classes),
        "counts": report_figures.counts_matrices(evaluation),
        "boxes": report_figures.metrics_against_counts(evaluation),
        "times": _times(reader, events),
    }


def _times(reader: HDF5Reader, events: range) -> Figure | None:
    if "times" not in reader.products or not events:
        return None
    times, _ = reader.range(events.start, events.stop, ["times"])["times"]
    columns = reader.columns.get("times", tuple(f"step {i + 1}" for i in range(times.shape[1])))
    return report_figures.time_histograms(np.asarray(times), columns)


def _provenance(reader: HDF5Reader, evaluation: Evaluation, events: range) -> str:
    rule = (
        f"true instances of {evaluation.min_voxels} voxels and more"
        if evaluation.min_voxels > 1
        else "all true instances"
    )
    part = "" if len(events) == len(reader) else f" of {len(reader):,}, from {events.start} to {events.stop - 1}"
    facts = {
        "events": f"{len(events):,}{part}",
        "evaluated": f"{escape(evaluation.fragments)}, voxels selected by {evaluation.semantics} class, {rule}",
        "made": escape(str(reader.info.get("date", ""))),
        "mlreco": escape(str(reader.info.get("mlreco_version", ""))),
    }
    return (
        '<p class="facts">'
        + " ".join(f"<span>{key} <b>{value}</b></span>" for key, value in facts.items() if value)
        + "</p>"
    )


def _tables(
    reader: HDF5Reader, evaluation: Evaluation, failures: Mapping[str, Sequence[Failure]], events: range
) -> str:
    thresholds = report_tables.threshold_table(reader.info)
    together = evaluate_interactions(reader, min_voxels=evaluation.min_voxels, events=events)
    interactions = report_tables.interaction_table(together)
    found = report_tables.found_table(evaluate_found(reader, min_voxels=evaluation.min_voxels, events=events))
    parts = [
        ("Table I. The sample", report_tables.sample_table(evaluation), ""),
        ("Table II. Thresholds of the clusterer", thresholds, ""),
        ("Table III. Metrics, mean over events", report_tables.metric_table(evaluation), _MULTI),
        ("Table III b. Metrics, mean over instances", report_tables.instance_metric_table(evaluation), _INSTANCES),
        ("Instances found", found, _FOUND),
        ("Interactions", interactions, _INTERACTIONS),
        ("Failures", report_tables.failure_table(failures), _FAILURES),
    ]
    shown = [f"<section><h2>{title}</h2>{table}<p>{note}</p></section>" for title, table, note in parts if table]
    return f'<div class="tables">{"".join(shown)}</div>'


def _figure_section(key: str, caption: str) -> str:
    return f'<figure><div class="plot" id="figure-{key}"></div><figcaption>{caption}</figcaption></figure>'
