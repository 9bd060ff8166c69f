"""Post-processing: clustering, the fragment graph, evaluation, and the tuning of thresholds."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Contingency": "mlreco.post_processing.contingency",
    "Evaluation": "mlreco.post_processing.evaluation.evaluate",
    "GreedyClusterer": "mlreco.post_processing.clustering.greedy",
    "LinkedClusterer": "mlreco.post_processing.clustering.linked",
    "PostProcessor": "mlreco.post_processing.processor",
    "build_post_processors": "mlreco.post_processing.factories",
    "cluster_event": "mlreco.post_processing.clustering.fragments",
    "cluster_events": "mlreco.post_processing.clustering.fragments",
    "evaluate": "mlreco.post_processing.evaluation.evaluate",
}

__all__ = ["metrics", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return importlib.import_module("mlreco.post_processing.metrics")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
