"""Metrics that a search can maximise, by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.post_processing.contingency import Contingency
from mlreco.post_processing.evaluation.evaluate import METRICS
from mlreco.post_processing.metrics.rand_index import rand_index_of
from mlreco.post_processing.tuning.sample import Metric


def rand_index_of_several(table: Contingency) -> float:
    """Return the ARI of an event with several true instances, NaN for others.

    One predicted cluster gives 0, where the ``ari_multi`` of an evaluation leaves the event out: a search that may
    choose which events count would gain by merging everything in the difficult ones.
    """
    return rand_index_of(table) if len(table.true_sizes) > 1 else math.nan


TUNABLE = {**METRICS, "ari_multi": rand_index_of_several}
"""Name -> function of a contingency table; an event where it is NaN does not count."""


def tunable(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        UserError: there is none.
    """
    if name not in TUNABLE:
        raise UserError(f"no metric '{name}' to tune for{nearest(name, TUNABLE)}")
    return TUNABLE[name]


def mean_over_events(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the mean of (E, ...) values over the events where the metric is defined, and the number of these.

    Whether it is defined depends on the truth only, so all points of a grid are averaged over the same events. NaN
    without any.
    """
    first_point: tuple[Any, ...] = (slice(None), *[0] * (values.ndim - 1))
    counted = ~np.isnan(values[first_point])
    if not counted.any():
        return np.full(values.shape[1:], math.nan), 0
    return values[counted].mean(axis=0), int(counted.sum())
