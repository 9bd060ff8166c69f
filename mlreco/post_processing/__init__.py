"""Post-processing: clustering, the fragment graph, evaluation, and the tuning of thresholds."""

from __future__ import annotations

from mlreco.on_demand import on_demand

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
    "metrics": "mlreco.post_processing.metrics",
}

__all__ = list(_HOMES)

__getattr__ = on_demand(__name__, _HOMES)
