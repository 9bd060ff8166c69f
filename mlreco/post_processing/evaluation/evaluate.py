"""Evaluation of an output file: how well predicted and true instances match, event by event and class by class.

A row is an event and a class. Voxels of a class are those of that class in ``semantics_true`` or, on request, in
``semantics``, the classes in which voxels were clustered. Their true instances are ``instances_true``. Voxels without a
true instance (-1) are left out, and so are all voxels of true instances with fewer than ``min_voxels`` voxels of the
class. Voxels without a fragment (-1) stay: for the metrics they are one more cluster, so that a clusterer gains nothing
by leaving voxels out. They are counted in ``unclustered`` and not as a predicted instance. Classes without voxels have
no row. Class ``all`` takes the voxels of all classes together; an instance with voxels of several classes counts once
in each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.post_processing.contingency import Contingency, contingency, without_small_instances
from mlreco.post_processing.evaluation.summary import ALL, Evaluation
from mlreco.post_processing.fragment_graph.pair_tables import where_written
from mlreco.post_processing.metrics.best_dice import best_dice_of
from mlreco.post_processing.metrics.mutual_information import mutual_information_of
from mlreco.post_processing.metrics.purity import mean_efficiency, mean_purity
from mlreco.post_processing.metrics.rand_index import rand_index_of
from mlreco.post_processing.predicted import predicted_instances

MIN_VOXELS = 10
METRICS = {
    "purity": mean_purity,
    "efficiency": mean_efficiency,
    "ari": rand_index_of,
    "ami": mutual_information_of,
    "sbd": best_dice_of,
}
"""Name of a column -> function of a contingency table."""


class EventReader(Protocol):
    """What an evaluation needs from a reader of output files; ``mlreco.iotools.HDF5Reader`` has it."""

    @property
    def products(self) -> Sequence[str]:
        """Names of the products."""

    @property
    def info(self) -> Mapping[str, Any]:
        """Attributes of ``/info``."""

    def __len__(self) -> int:
        """Return the number of events."""

    def event(self, index: int, products: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Return products of an event."""


def evaluate(
    reader: EventReader,
    *,
    min_voxels: int = MIN_VOXELS,
    fragments: str | None = None,
    semantics: Literal["true", "predicted"] = "true",
    events: Iterable[int] | None = None,
) -> Evaluation:
    """Compare the fragments of an output file with the true instances.

    Args:
        reader: the file.
        min_voxels: true instances with fewer voxels are left out; 0 or 1 keeps all.
        fragments: product that holds the predicted instances; that of ``predicted_instances`` if None.
        semantics: select the voxels of a class by ``true`` or by ``predicted`` classes.
        events: numbers of the events; all if None.

    Raises:
        UserError: a product that is needed is not in the file.
    """
    fragments = fragments or predicted_instances(reader.products)
    needed = (class_product(semantics), "instances_true", fragments)
    require_products(reader, needed)
    classes = tuple(str(name) for name in reader.info["classes"])
    rows: list[dict[str, float]] = []
    for index in range(len(reader)) if events is None else events:
        event = reader.event(index, needed)
        lengths = {name: len(values) for name, values in event.items()}
        if len(set(lengths.values())) > 1:
            where = getattr(reader, "path", "the output file")
            raise UserError(f"{where}: event {index}: products differ in their number of voxels: {lengths}")
        of_event = event_rows(event[needed[0]], event[needed[1]], event[needed[2]], len(classes), min_voxels)
        rows += ({"event": index, **row} for row in of_event)
    columns = ("event", "class", "voxels", "true_instances", "pred_instances", "unclustered", *METRICS)
    integers = columns[:6]
    table = {c: np.array([row[c] for row in rows], np.int64 if c in integers else np.float64) for c in columns}
    return Evaluation(classes, table, min_voxels=min_voxels, semantics=semantics, fragments=fragments)


def class_product(semantics: str) -> str:
    """Return the product that holds the classes of the choice ``true`` or ``predicted``."""
    return {"true": "semantics_true", "predicted": "semantics"}[semantics]


def require_info(reader: EventReader, attribute: str) -> Any:
    """Return an attribute of ``/info``.

    Raises:
        UserError: the file, perhaps another program's, does not have it.
    """
    if attribute not in reader.info:
        where = getattr(reader, "path", "the output file")
        raise UserError(f"{where}: its /info has no '{attribute}'; this needs a file that 'mlreco inference' wrote")
    return reader.info[attribute]


def require_products(reader: EventReader, names: Iterable[str]) -> None:
    """Check that a file holds some products.

    Raises:
        UserError: one of them is not there, or the file does not say what its classes are.
    """
    require_info(reader, "classes")
    for name in names:
        if name not in reader.products:
            labels = "; evaluation needs labels" if name.endswith("_true") else ""
            where = getattr(reader, "path", "the output file")
            hint = labels or where_written(name) or nearest(name, reader.products)
            raise UserError(f"{where}: no product '{name}'{hint}")


def event_rows(
    semantics: np.ndarray, instances: np.ndarray, fragments: np.ndarray, n_classes: int, min_voxels: int
) -> list[dict[str, float]]:
    """Return a row for every class with voxels in an event, and one of class ``ALL`` for all of them.

    Args:
        semantics: (N,) integers, class of each voxel; -1 unknown.
        instances: (N,) integers, true instance; -1 none.
        fragments: (N,) integers, predicted instance; -1 none.
        n_classes: number of classes.
        min_voxels: true instances with fewer voxels in a class are left out.

    Returns:
        Rows with the keys ``class``, ``voxels``, ``true_instances``, ``pred_instances``, ``unclustered`` (voxels
        without a fragment) and those of ``METRICS``.
    """
    rows, truths, predictions = [], [], []
    for number, true, predicted in compared_labels(semantics, instances, fragments, n_classes, min_voxels):
        rows.append({"class": number, **_row(contingency(true, predicted))})
        truths.append(true.astype(np.int64) * n_classes + number)
        predictions.append(predicted)
    if rows:
        rows.append({"class": ALL, **_row(contingency(np.concatenate(truths), np.concatenate(predictions)))})
    return rows


def compared_labels(
    semantics: np.ndarray, instances: np.ndarray, fragments: np.ndarray, n_classes: int, min_voxels: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield every class of one event with voxels to compare: its number, their true instances and their fragments.

    Args:
        semantics: as in ``event_rows``, like the others.
        instances: true instance; voxels without one are left out.
        fragments: predicted instance.
        n_classes: number of classes.
        min_voxels: true instances with fewer voxels in a class are left out.
    """
    for number in range(n_classes):
        selected = (semantics == number) & (instances >= 0)
        true, predicted = without_small_instances(instances[selected], fragments[selected], min_voxels)
        if len(true):
            yield number, true, predicted


def _row(table: Contingency) -> dict[str, float]:
    fragments = table.predicted_labels >= 0
    sizes = {
        "voxels": table.voxels,
        "true_instances": len(table.true_sizes),
        "pred_instances": int(fragments.sum()),
        "unclustered": int(table.predicted_sizes[~fragments].sum()),
    }
    return {**sizes, **{name: metric(table) for name, metric in METRICS.items()}}
