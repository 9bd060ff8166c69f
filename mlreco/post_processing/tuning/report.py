"""Outcome of a threshold search as a table, as a thresholds file and as JSON."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import numpy as np
import yaml

from mlreco import __version__
from mlreco.post_processing.text_table import aligned, decimal
from mlreco.post_processing.tuning.search import TunedClass, Tuning


def tuning_table(tuning: Tuning) -> str:
    """Return the paper's Table II with the metric before and after."""
    header = ["s0", "p0", f"{tuning.metric} after", "s0 before", "p0 before", f"{tuning.metric} before"]
    names, cells = [["class"]], [[*header, "events", "true instances"]]
    for name, one in tuning.classes.items():
        names.append([name])
        after, before = ((f"{point.seed:g}", f"{point.probability:g}") for point in (one.after, one.before))
        values = (*after, decimal(one.value_after), *before, decimal(one.value_before))
        cells.append([*values, str(one.events), str(one.instances)])
    return "\n".join([f"thresholds of highest {_description(tuning)}", *aligned(names, cells)])


def thresholds_text(tuning: Tuning, source: str) -> str:
    """Return the text of a thresholds file: YAML, with where it comes from as comments.

    Args:
        tuning: the outcome.
        source: the file that it was found on.
    """
    written = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    comments = [f"Thresholds of the greedy clusterer, written by mlreco {__version__} tune on {written}", source]
    comments += ["", *tuning_table(tuning).splitlines()]
    values = {name: one.after._asdict() for name, one in tuning.classes.items()}
    body = yaml.safe_dump(values, sort_keys=False, default_flow_style=None)
    return "".join(f"# {line}".rstrip() + "\n" for line in comments) + body


def tuning_json(tuning: Tuning, source: str) -> str:
    """Return the outcome as JSON text, the means over the coarse grid included; undefined numbers are null.

    Args:
        tuning: the outcome.
        source: the file that it was found on.
    """
    document = {
        "classes": {name: _class_dict(one) for name, one in tuning.classes.items()},
        "grid": {"seed": tuning.grid.seed.tolist(), "probability": tuning.grid.probability.tolist()},
        "options": {
            "file": source,
            "metric": tuning.metric,
            "events": list(tuning.events),
            "min_voxels": tuning.min_voxels,
            "semantics": tuning.semantics,
        },
        "mlreco_version": __version__,
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _class_dict(one: TunedClass) -> dict[str, Any]:
    return {
        "before": {**one.before._asdict(), "value": _number(one.value_before)},
        "after": {**one.after._asdict(), "value": _number(one.value_after)},
        "events": one.events,
        "true_instances": one.instances,
        "grid_values": [] if np.isnan(one.values).any() else np.round(one.values, 6).tolist(),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _description(tuning: Tuning) -> str:
    first, end = tuning.events
    return (
        f"mean {tuning.metric} over events {first} to {end - 1}; voxels selected by {tuning.semantics} class; "
        f"true instances under {tuning.min_voxels} voxels left out"
    )
