"""Evaluation of baselines on the events of an output file, for comparison with the fragments in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from mlreco.post_processing.baselines.methods import baseline
from mlreco.post_processing.baselines.values import baseline_values
from mlreco.post_processing.clustering.fragments import fragments_by_class
from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, EventReader, evaluate, require_info, require_products
from mlreco.post_processing.evaluation.summary import ALL, Evaluation
from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.settings.thresholds import resolve_thresholds, thresholds_of_file
from mlreco.progress import Progress
from mlreco.semantics import ClassScheme, class_scheme


class _BaselineReader:
    """An output file with one additional product: the fragments of a baseline."""

    def __init__(
        self, reader: EventReader, name: str, scheme: ClassScheme, values: Mapping[str, Any], bar: Progress
    ) -> None:
        self.info = reader.info
        self.products = (*reader.products, name)
        self._reader, self._name, self._scheme, self._values, self._bar = reader, name, scheme, values, bar
        self._method = baseline(name)

    def __len__(self) -> int:
        return len(self._reader)

    def event(self, index: int, products: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Return products of an event, the baseline's fragments among them."""
        stored = dict.fromkeys([*(products or self.products), "semantics", *self._method.requires])
        del stored[self._name]
        event = self._reader.event(index, tuple(stored))
        arrays = [event[required] for required in self._method.requires]

        def cluster(class_name: str, rows: np.ndarray) -> np.ndarray:
            return self._method.cluster(*(values[rows] for values in arrays), self._values[class_name])

        event[self._name] = fragments_by_class(event["semantics"], len(event["semantics"]), cluster, self._scheme)
        self._bar.advance()
        return event


def evaluate_baselines(
    reader: EventReader,
    names: Iterable[str],
    *,
    given: Mapping[str, Mapping[str, float]] | None = None,
    thresholds: str | None = None,
    min_voxels: int = MIN_VOXELS,
    semantics: Literal["true", "predicted"] = "true",
    events: range | None = None,
) -> dict[str, Evaluation]:
    """Cluster the events of a file with baselines, class by class as the file was clustered, and evaluate them.

    Args:
        reader: output file with labels.
        names: baselines.
        given: name of a baseline -> class name -> value of its parameter; defaults for the rest.
        thresholds: file of thresholds for the greedy rules; those of the output file if None.
        min_voxels: as in ``evaluate``.
        semantics: as in ``evaluate``.
        events: numbers of the events; all if None.

    Returns:
        Name of each baseline -> its evaluation.

    Raises:
        UserError: an unknown baseline or class, or a product that is needed is not in the file.
    """
    names = list(names)
    events = range(len(reader)) if events is None else events
    scheme = class_scheme(require_info(reader, "class_scheme"))
    resolved = resolve_thresholds(thresholds, scheme) if thresholds else thresholds_of_file(reader.info, scheme)
    readers = []
    with Progress("baselines", len(names) * len(events)) as bar:
        for name in names:
            values = baseline_values(name, (given or {}).get(name, {}), resolved, scheme)
            require_products(reader, ("semantics", *baseline(name).requires))
            readers.append(_BaselineReader(reader, name, scheme, values, bar))
        return {
            name: evaluate(one, min_voxels=min_voxels, fragments=name, semantics=semantics, events=events)
            for name, one in zip(names, readers, strict=True)
        }


def comparison_table(evaluations: Iterable[Evaluation]) -> str:
    """Return a table with a line for each class and each of several evaluations of the same events."""
    evaluations = list(evaluations)
    names = [["class", "method"]]
    cells = [["purity", "efficiency", "ARI", "ARI multi", "SBD", "true", "predicted"]]
    for number, class_name in (*enumerate(evaluations[0].classes), (ALL, "all")):
        for place, one in enumerate(evaluations):
            values = one.summary(number)
            names.append(["" if place else class_name, one.fragments])
            means = [decimal(values[key]) for key in ("purity", "efficiency", "ari", "ari_multi", "sbd")]
            cells.append([*means, str(values["true_instances"]), str(values["pred_instances"])])
    return "\n".join(["beside baselines, in the same classes; mean over events", *aligned(names, cells)])
