"""Values of the baselines' parameters by class name: defaults, and files that the tuning of a baseline writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlreco.errors import UserError, nearest
from mlreco.post_processing.baselines.methods import BASELINES, baseline
from mlreco.post_processing.settings.thresholds import Thresholds
from mlreco.post_processing.settings.values_file import read_mapping
from mlreco.semantics import ClassScheme


def read_baseline_values(paths: Iterable[str | Path]) -> dict[str, dict[str, float]]:
    """Return what files of values say: name of a baseline -> class name -> value; later files win.

    Args:
        paths: YAML files such as ``dbscan: {HIP: 3.0, Shower: 6.5}``.

    Raises:
        UserError: a file cannot be read, or names no baseline, or a value is no number above 0.
    """
    values: dict[str, dict[str, float]] = {}
    for path in paths:
        for name, by_class in read_mapping(path, str(path), "dbscan: {HIP: 3.0}").items():
            if name not in BASELINES:
                raise UserError(f"{path}: no baseline '{name}'{nearest(str(name), BASELINES)}")
            if not BASELINES[name].candidates:
                raise UserError(f"{path}: baseline '{name}' takes thresholds (--thresholds), not values")
            if not isinstance(by_class, Mapping):
                raise UserError(f"{path}: {name} is {by_class!r}; class names and numbers are needed")
            for key, value in by_class.items():
                if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                    raise UserError(f"{path}: {name} of {key} is {value!r}; a number above 0 is needed")
            values.setdefault(name, {}).update(by_class)
    return values


def baseline_values(
    name: str, given: Mapping[str, float], thresholds: Mapping[str, Thresholds], scheme: ClassScheme
) -> dict[str, Any]:
    """Return the value of a baseline for every class: the one given, else its default.

    Args:
        name: the baseline.
        given: class name -> value.
        thresholds: class name -> thresholds, for the baselines that take these.
        scheme: the classes.

    Raises:
        UserError: an unknown baseline or class.
    """
    default = baseline(name).default
    for class_name in given:
        scheme.number(class_name)
    if default is None:
        return {class_name: thresholds[class_name] for class_name in scheme.classes}
    return {class_name: float(given.get(class_name, default)) for class_name in scheme.classes}
