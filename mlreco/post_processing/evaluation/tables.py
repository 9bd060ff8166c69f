"""Tables beside the one of metrics: the sample (the paper's Table I), intervals, and one row an instance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlreco.post_processing.contingency import Contingency, contingency
from mlreco.post_processing.evaluation.bootstrap import intervals
from mlreco.post_processing.evaluation.evaluate import (
    MIN_VOXELS,
    EventReader,
    class_product,
    compared_labels,
    require_products,
)
from mlreco.post_processing.evaluation.summary import ALL, Evaluation
from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.predicted import predicted_instances

INTEGER_COLUMNS = ("event", "class", "instance", "voxels", "fragments", "best_fragment", "fragment_voxels")


@dataclass(frozen=True)
class EventTable:
    """Contingency table of one class of one event.

    Attributes:
        event: number of the event.
        number: class number.
        table: true instances against fragments.
    """

    event: int
    number: int
    table: Contingency


def event_tables(
    reader: EventReader,
    *,
    min_voxels: int = MIN_VOXELS,
    fragments: str | None = None,
    semantics: Literal["true", "predicted"] = "true",
    events: Iterable[int] | None = None,
) -> Iterator[EventTable]:
    """Yield the contingency table behind each row of ``evaluate`` (same arguments) but those of all classes together.

    Raises:
        UserError: a product that is needed is not in the file.
    """
    needed = (class_product(semantics), "instances_true", fragments or predicted_instances(reader.products))
    require_products(reader, needed)
    for index in range(len(reader)) if events is None else events:
        event = reader.event(index, needed)
        arrays = event[needed[0]], event[needed[1]], event[needed[2]]
        for number, *labels in compared_labels(*arrays, len(reader.info["classes"]), min_voxels):
            yield EventTable(index, number, contingency(*labels))


def instance_rows(tables: Iterable[EventTable]) -> dict[str, np.ndarray]:
    """Return a table with one row for each true instance.

    Returns:
        Name of a column -> (R,) values: ``event``; ``class`` number; ``instance``, its label; ``voxels``;
        ``fragments``, the number that have voxels of it; ``best_fragment``, label of the one with most of them (the
        lowest of equal ones); ``fragment_voxels``, all voxels of that one; ``efficiency``, the share of the instance
        in it; ``purity``, the share of it that is the instance; ``dice`` of both.
    """
    parts: list[dict[str, np.ndarray]] = []
    for one in tables:
        table = one.table
        count = len(table.true_sizes)
        order = np.lexsort((-table.counts, table.true_index))
        best = order[np.searchsorted(table.true_index, np.arange(count))]
        sizes = table.predicted_sizes[table.predicted_index[best]]
        shared = table.counts[best]
        parts.append(
            {
                "event": np.full(count, one.event),
                "class": np.full(count, one.number),
                "instance": table.true_labels,
                "voxels": table.true_sizes,
                "fragments": np.bincount(table.true_index, minlength=count),
                "best_fragment": table.predicted_labels[table.predicted_index[best]],
                "fragment_voxels": sizes,
                "efficiency": shared / table.true_sizes,
                "purity": shared / sizes,
                "dice": 2 * shared / (table.true_sizes + sizes),
            }
        )
    columns = (*INTEGER_COLUMNS, "efficiency", "purity", "dice")
    return {
        name: np.concatenate([[], *(part[name] for part in parts)]).astype(
            np.int64 if name in INTEGER_COLUMNS else np.float64
        )
        for name in columns
    }


def rows_text(rows: Mapping[str, np.ndarray], classes: Sequence[str]) -> str:
    """Return rows as CSV text with a header, classes by name, undefined numbers empty.

    Args:
        rows: name of a column -> values; ``instance_rows`` or ``Evaluation.rows``.
        classes: names of the class numbers.
    """
    columns = [[_cell(name, value, classes) for value in values.tolist()] for name, values in rows.items()]
    lines = [list(rows), *zip(*columns, strict=True)]
    return "".join(",".join(line) + "\n" for line in lines)


def _cell(name: str, value: float, classes: Sequence[str]) -> str:
    if name == "class":
        return "all" if value == ALL else classes[int(value)]
    return "" if value != value else repr(value)


def sample_table(evaluation: Evaluation) -> str:
    """Return the paper's Table I: how many true instances, events, instances an event and voxels each class has."""
    names, cells = [["class"]], [["true instances", "events", "instances/event", "voxels"]]
    for number, name in (*enumerate(evaluation.classes), (ALL, "all")):
        rows = evaluation.rows["class"] == number
        counts = evaluation.rows["true_instances"][rows]
        mean, spread = (counts.mean(), counts.std()) if len(counts) else (math.nan, math.nan)
        per_event = f"{decimal(mean, 1)} ± {decimal(spread, 1)}"
        names.append([name])
        cells.append([str(counts.sum()), str(len(counts)), per_event, str(evaluation.rows["voxels"][rows].sum())])
    return "\n".join(["the sample (events: those with the class; ±: standard deviation)", *aligned(names, cells)])


def interval_table(evaluation: Evaluation) -> str:
    """Return the 68 % intervals of the means over events."""
    columns = {"purity": "purity", "efficiency": "efficiency", "ari": "ARI", "ari_multi": "ARI multi", "sbd": "SBD"}
    names, cells = [["class"]], [list(columns.values())]
    for number, name in (*enumerate(evaluation.classes), (ALL, "all")):
        found = intervals(evaluation, number)
        names.append([name])
        cells.append([_interval(*found[key]) for key in columns])
    return "\n".join(["68 % intervals of the means over events (bootstrap over events)", *aligned(names, cells)])


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.3f} to {high:.3f}"
