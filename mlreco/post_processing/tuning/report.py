"""What the outcomes of searches have in common when they are told: where they come from, as words, comments, JSON."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

import yaml

from mlreco import __version__


def conditions(metric: str, events: tuple[int, int], semantics: str, min_voxels: int) -> str:
    """Return what was averaged over what, in words."""
    return (
        f"mean {metric} over events {events[0]} to {events[1] - 1}; voxels selected by {semantics} class; "
        f"true instances under {min_voxels} voxels left out"
    )


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


def number_or_none(value: float) -> float | None:
    """Return None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value
