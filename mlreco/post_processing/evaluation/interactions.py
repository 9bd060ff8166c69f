"""Evaluation of the interactions of an output file: how well particles are grouped by the interaction they come from.

The predicted interaction of a voxel is that of its instance, the true one that of its true instance; all classes are
taken together. Voxels whose true interaction is not known are left out, and so are true interactions with few voxels,
as in the evaluation of instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlreco.post_processing.contingency import contingency, without_small_instances
from mlreco.post_processing.evaluation.evaluate import METRICS, MIN_VOXELS, EventReader
from mlreco.post_processing.evaluation.text_table import aligned, decimal

TRUE, INSTANCES, OF_INSTANCES = "interactions_true", "instances", "instance_interactions"


@dataclass(frozen=True)
class InteractionEvaluation:
    """A row for each event that has voxels of known interactions.

    Attributes:
        rows: name of a column -> (R,) values: ``event``, ``voxels``, ``true_interactions``, ``pred_interactions``, and
            those of ``evaluate.METRICS``.
        min_voxels: true interactions with fewer voxels were left out.
    """

    rows: dict[str, np.ndarray]
    min_voxels: int

    def summary(self) -> dict[str, Any]:
        """Return the means over events of the metrics, and the counts behind them.

        ``ari_multi`` is the mean over the ``events_multi`` events with more than one interaction in truth and
        prediction. Means over no events are None.
        """
        multi = (self.rows["true_interactions"] > 1) & (self.rows["pred_interactions"] > 1)
        return {
            **{name: _mean(self.rows[name]) for name in METRICS},
            "ari_multi": _mean(self.rows["ari"][multi]),
            "events": len(multi),
            "events_multi": int(multi.sum()),
            **{name: int(self.rows[name].sum()) for name in ("true_interactions", "pred_interactions", "voxels")},
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the summary, and how it was made, as JSON can hold them."""
        return {**self.summary(), "min_voxels": self.min_voxels}

    def table(self) -> str:
        """Return the summary as text."""
        found = self.summary()
        titles = ["purity", "efficiency", "ARI", "ARI multi", "SBD", "events", "multi", "true", "predicted", "voxels"]
        numbers = [found[name] for name in ("purity", "efficiency", "ari", "ari_multi", "sbd")]
        counts = ("events", "events_multi", "true_interactions", "pred_interactions", "voxels")
        cells = ["" if value is None else decimal(value) for value in numbers] + [str(found[name]) for name in counts]
        rule = f"; true ones under {self.min_voxels} voxels left out" if self.min_voxels > 1 else ""
        title = f"interactions: mean over events, voxels of all classes{rule}"
        return "\n".join([title, *aligned([[""], ["all"]], [titles, cells])])


def evaluate_interactions(
    reader: EventReader, *, min_voxels: int = MIN_VOXELS, events: Iterable[int] | None = None
) -> InteractionEvaluation | None:
    """Compare the interactions of instances with the true ones; None where the file lacks either.

    Args:
        reader: an output file.
        min_voxels: true interactions with fewer voxels are left out; 0 or 1 keeps all.
        events: numbers of the events; all if None.
    """
    if not {TRUE, INSTANCES, OF_INSTANCES} <= set(reader.products):
        return None
    rows: list[dict[str, float]] = []
    for index in range(len(reader)) if events is None else events:
        event = reader.event(index, (TRUE, INSTANCES, OF_INSTANCES))
        known = event[TRUE] >= 0
        predicted = interactions_of_voxels(event[INSTANCES], event[OF_INSTANCES])
        true, predicted = without_small_instances(event[TRUE][known], predicted[known], min_voxels)
        if len(true):
            table = contingency(true, predicted)
            counts = {"true_interactions": len(table.true_sizes), "pred_interactions": len(table.predicted_sizes)}
            values = {name: metric(table) for name, metric in METRICS.items()}
            rows.append({"event": index, "voxels": table.voxels, **counts, **values})
    counted = ("event", "voxels", "true_interactions", "pred_interactions")
    types = {**dict.fromkeys(counted, np.int64), **dict.fromkeys(METRICS, np.float64)}
    columns = {name: np.array([row[name] for row in rows], kind) for name, kind in types.items()}
    return InteractionEvaluation(columns, min_voxels)


def interactions_of_voxels(instances: np.ndarray, of_instances: np.ndarray) -> np.ndarray:
    """Return (N,) the interaction of each voxel, -1 for one without an instance.

    Args:
        instances: (N,) integers, instance of each voxel, -1 for none.
        of_instances: (K,) integers, interaction of each instance.
    """
    return np.append(of_instances, -1)[instances]


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
