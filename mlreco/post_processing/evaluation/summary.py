"""Tables of an evaluation: averages of its rows, as text and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlreco.post_processing.evaluation.text_table import aligned, decimal

ALL = -1
"""Class number of the rows that take all classes of an event together."""
AVERAGED = ("purity", "efficiency", "ari", "ami", "sbd")


def predicted_clusters(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (R,) numbers of predicted clusters in the metrics, where all voxels without a fragment are one more."""
    return rows["pred_instances"] + (rows["unclustered"] > 0)


def with_several(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (R,) whether truth and prediction have more than one cluster each; only then the ARI is meaningful."""
    return (rows["true_instances"] > 1) & (predicted_clusters(rows) > 1)


def ari_is_empty(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (R,) whether one side has one cluster and the other more, so that the ARI is 0 whatever they share."""
    return (rows["true_instances"] > 1) != (predicted_clusters(rows) > 1)


@dataclass(frozen=True)
class Evaluation:
    """Rows of an evaluation, one for each event and class.

    Attributes:
        classes: names of the class numbers.
        rows: name of a column -> (R,) values: ``event``, ``class`` (number, or ``ALL``), ``voxels``,
            ``true_instances``, ``pred_instances``, ``unclustered`` (voxels without a fragment), ``purity``,
            ``efficiency``, ``ari``, ``ami``, ``sbd``.
        min_voxels: true instances with fewer voxels were left out.
        semantics: ``true`` or ``predicted``, by which classes voxels were selected.
        fragments: product that was evaluated.
    """

    classes: tuple[str, ...]
    rows: dict[str, np.ndarray]
    min_voxels: int
    semantics: str
    fragments: str

    def summary(self, number: int) -> dict[str, Any]:
        """Return the averages of a class, or of ``ALL``.

        Returns:
            ``purity``, ``efficiency``, ``ari``, ``ami``, ``sbd``: means over events; ``ari_multi``: over the
            ``events_multi`` events with more than one cluster on both sides; ``per_instance``: purity averaged over
            predicted clusters, the others over true instances (an event's value counts once for each of them);
            ``spread``: standard deviations over events; counts ``events``, ``true_instances``, ``pred_instances``,
                ``voxels``. What is undefined is NaN.
        """
        rows = {name: values[self.rows["class"] == number] for name, values in self.rows.items()}
        multi = with_several(rows)
        weights = {"purity": predicted_clusters(rows)}
        return {
            **{name: _mean(rows[name]) for name in AVERAGED},
            "ari_multi": _mean(rows["ari"][multi]),
            "events": len(rows["event"]),
            "events_multi": int(multi.sum()),
            "true_instances": int(rows["true_instances"].sum()),
            "pred_instances": int(rows["pred_instances"].sum()),
            "voxels": int(rows["voxels"].sum()),
            "unclustered": int(rows["unclustered"].sum()),
            "per_instance": {name: _mean(rows[name], weights.get(name, rows["true_instances"])) for name in AVERAGED},
            "spread": {name: float(rows[name].std()) if len(rows[name]) else math.nan for name in AVERAGED},
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the summaries by class name, and how they were made; undefined numbers are None, as JSON wants."""
        return {
            "classes": {name: _without_nan(self.summary(number)) for number, name in enumerate(self.classes)},
            "all": _without_nan(self.summary(ALL)),
            "options": {"min_voxels": self.min_voxels, "semantics": self.semantics, "fragments": self.fragments},
        }

    def to_json(self) -> str:
        """Return ``to_dict`` as JSON text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def table(self) -> str:
        """Return the means over events as text: the paper's Table III with the counts behind each number."""
        keys = ("events", "events_multi", "true_instances", "pred_instances", "voxels")
        names = [["class"]]
        cells = [["purity", "efficiency", "ARI", "ARI multi", "SBD", "events", "multi", "true", "predicted", "voxels"]]
        for name, values in self._summaries():
            numbers = [values[key] for key in ("purity", "efficiency", "ari", "ari_multi", "sbd")]
            names.append([name])
            cells.append([*map(decimal, numbers), *(str(values[key]) for key in keys)])
        chosen = f"voxels selected by {self.semantics} class"
        rule = (
            f"true instances under {self.min_voxels} voxels left out" if self.min_voxels > 1 else "all true instances"
        )
        title = f"{self.fragments}: mean over events; {chosen}; {rule}"
        return "\n".join([title, *aligned(names, cells), *self._notes()])

    def instances_table(self) -> str:
        """Return the means over instances as text."""
        keys = ("purity", "efficiency", "ari", "sbd")
        names, cells = [["class"]], [["purity", "efficiency", "ARI", "SBD"]]
        for name, values in self._summaries():
            names.append([name])
            cells.append([decimal(values["per_instance"][key]) for key in keys])
        title = "mean over instances (purity: predicted ones; the others: true ones)"
        return "\n".join([title, *aligned(names, cells)])

    def _summaries(self) -> list[tuple[str, dict[str, Any]]]:
        found = [(name, self.summary(number)) for number, name in enumerate(self.classes)]
        return [*found, ("all", self.summary(ALL))]

    def _notes(self) -> list[str]:
        """Return the notes below the table."""
        notes = ["ARI multi: mean over the 'multi' events with more than one cluster in truth and prediction."]
        single = self.rows["class"] != ALL
        empty = int((ari_is_empty(self.rows) & single).sum())
        if empty:
            notes.append(
                f"In {empty} of {int(single.sum())} events and classes only one of the two has more than one cluster: "
                "their ARI is 0 whatever they share, also beside purity 1."
            )
        unclustered = int(self.rows["unclustered"][single].sum())
        if unclustered:
            notes.append(
                f"{unclustered} voxels are in no predicted instance; those of an event are one more cluster for the "
                "metrics, and not counted as 'predicted'."
            )
        return notes


def _mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    return float(np.average(values, weights=weights)) if len(values) else math.nan


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nan(value) if isinstance(value, dict) else None if value != value else value
        for key, value in values.items()
    }
