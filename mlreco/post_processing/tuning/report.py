"""What the outcomes of all searches have in common: how they are written as text, YAML comments and JSON."""

from __future__ import annotations

import datetime
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import yaml

from mlreco.version import __version__


@dataclass(frozen=True)
class Search(ABC):
    """What was searched: the base of all outcomes.

    Attributes:
        heading: first words of the file of the values that were found.
        classes: class name -> outcome.
        metric: name of the metric.
        events: numbers of the first event and of the one after the last.
        min_voxels: true instances with fewer voxels were left out.
        semantics: ``predicted`` or ``true``, by which classes voxels were selected.
    """

    heading: ClassVar[str]
    classes: Mapping[str, Any]
    metric: str
    events: tuple[int, int]
    min_voxels: int
    semantics: str

    @abstractmethod
    def table(self) -> str:
        """Return the outcome as text."""

    @abstractmethod
    def found(self) -> dict[str, Any]:
        """Return what a file of the values that were found says."""

    @abstractmethod
    def to_json(self, source: str) -> str:
        """Return the outcome as JSON text, the means over the grid included; undefined numbers are null.

        Args:
            source: the file that it was found on.
        """

    def text(self, source: str) -> str:
        """Return the text of a file of the values, ``source`` being the file that they were found on."""
        return values_file(self.heading, source, self.table(), self.found())

    def conditions(self) -> str:
        """Return what was averaged over what, in words."""
        return (
            f"mean {self.metric} over events {self.events[0]} to {self.events[1] - 1}; voxels selected by "
            f"{self.semantics} class; true instances under {self.min_voxels} voxels left out"
        )

    def document(self, source: str, head: Mapping[str, Any], grid: Mapping[str, Any]) -> str:
        """Return the outcome as JSON text; undefined numbers are null.

        Args:
            source: the file that it was found on.
            head: what stands before the classes.
            grid: the points of the search, which stand after them.
        """
        options = {name: getattr(self, name) for name in ("metric", "events", "min_voxels", "semantics")}
        classes = {name: one.to_dict() for name, one in self.classes.items()}
        document = {**head, "classes": classes, **grid, "options": {"file": source, **options}}
        return json.dumps(document, indent=1, allow_nan=False)


def values_file(title: str, source: str, table: str, values: Mapping[str, Any]) -> str:
    """Return the text of a YAML file with where its values come from as comments.

    Args:
        title: what the values are.
        source: the file that they were found on.
        table: the numbers that were reached.
        values: what the file says.
    """
    written = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    comments = (f"{title}, tuned by mlreco {__version__} on {written}", source, "", *table.splitlines())
    body = yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=None)
    return "".join(f"# {line}".rstrip() + "\n" for line in comments) + body


def numbers_or_none(values: np.ndarray) -> list[Any]:
    """Return an array of floats as nested lists, with None for NaN, which JSON does not know."""
    numbers = values.astype(object)
    numbers[np.isnan(values)] = None
    return numbers.tolist()


def number_or_none(value: float) -> float | None:
    """Return None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value


def end_notes(name: str, thresholds: Any, grid: Any, switched_off: Mapping[str, tuple[float, str]]) -> list[str]:
    """Return a line for each threshold of a class at an end of its grid, or where it switches a term off.

    Args:
        name: of the class.
        thresholds: named tuple of the best values.
        grid: named tuple of the values that were tried, in the same order.
        switched_off: threshold -> value at which it decides nothing, and what that means.
    """
    notes = []
    for field, value, axis in zip(thresholds._fields, thresholds, grid, strict=True):
        off, meaning = switched_off.get(field, (None, ""))
        if value == off:
            notes.append(f"{name}: {field} {value:g}: {meaning}")
        elif value in (axis[0], axis[-1]):
            notes.append(f"{name}: {field} {value:g} is an end of its grid; what is beyond was not tried")
    return notes
