"""The outcome of a search over all combinations of the values of a clusterer's thresholds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mlreco.post_processing.evaluation.text_table import aligned, decimal
from mlreco.post_processing.fragment_graph.partition import GraphThresholds
from mlreco.post_processing.settings.link_thresholds import LinkThresholds
from mlreco.post_processing.tuning.grid import TIE
from mlreco.post_processing.tuning.report import Search, end_notes, number_or_none, numbers_or_none


@dataclass(frozen=True)
class TunedThresholds:
    """Outcome for one class.

    Attributes:
        before: thresholds that the file was clustered with; the shipped ones where it does not tell.
        mean_before: mean score over events with them, NaN without events.
        thresholds: the best ones; those before where no point of the grid is better.
        mean: mean score over events with them, NaN without events.
        events: number of events behind the means.
        values: float64 means over the grid, one axis for each threshold; all NaN without events.
    """

    before: LinkThresholds | GraphThresholds
    mean_before: float
    thresholds: LinkThresholds | GraphThresholds
    mean: float
    events: int
    values: np.ndarray

    @property
    def unchanged(self) -> bool:
        """Whether no point of the grid is better than the thresholds before."""
        return self.thresholds == self.before

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON can hold it."""
        return {
            **self.thresholds._asdict(),
            "mean": number_or_none(self.mean),
            "events": self.events,
            "before": {**self.before._asdict(), "mean": number_or_none(self.mean_before)},
            "grid_values": numbers_or_none(self.values),
        }


@dataclass(frozen=True)
class ThresholdSearch(Search):
    """What was searched, and the thresholds that were found, by class.

    Attributes:
        grid: named tuple of the values of each threshold that were tried.
        switched_off: threshold -> value at which it decides nothing, and what that means.
        better: what a point has to be to replace the thresholds before.
    """

    switched_off: ClassVar[Mapping[str, tuple[float, str]]]
    better: ClassVar[str] = "better"
    classes: Mapping[str, TunedThresholds]
    grid: Any

    @property
    def score(self) -> str:
        """Name of what was averaged over events."""
        return self.metric

    @abstractmethod
    def head(self) -> list[str]:
        """Return the lines above the table."""

    def table(self) -> str:
        """Return the outcome as text."""
        names = [["class"], *([name] for name in self.classes)]
        cells = [[*self.grid._fields, f"{self.score} after", f"{self.score} before", "events"]]
        for one in self.classes.values():
            means = (decimal(one.mean), decimal(one.mean_before), str(one.events))
            cells.append([*(f"{value:g}" for value in one.thresholds), *means])
        unchanged = [name for name, one in self.classes.items() if one.events and one.unchanged]
        text = f"no point of the grid is {self.better} than the thresholds before: {', '.join(unchanged)}"
        return "\n".join([*self.head(), *aligned(names, cells), *([text] if unchanged else []), *self.notes()])

    def notes(self) -> list[str]:
        """Return a line for each loss, each optimum at an end of its grid, and each that switches a threshold off.

        A class can lose where thresholds of other classes change, by which the sum of the scores gains.
        """
        notes = []
        gain = sum(one.mean - one.mean_before for one in self.classes.values() if one.events)
        for name, one in self.classes.items():
            if one.mean < one.mean_before - TIE:
                notes.append(
                    f"{name} is {one.mean_before - one.mean:.2g} lower than before: thresholds of other classes count "
                    f"for it, too; the sum over all classes is {gain:.2g} higher"
                )
            if not one.unchanged:
                notes += end_notes(name, one.thresholds, self.grid, self.switched_off)
        return notes

    def found(self) -> dict[str, Any]:
        """Return the best thresholds of every class by its name."""
        return {name: one.thresholds._asdict() for name, one in self.classes.items()}

    def to_json(self, source: str) -> str:
        """Return the outcome as JSON text, the means over the grid included; undefined numbers are null."""
        return self.document(source, {}, {"grid": self.grid._asdict()})
