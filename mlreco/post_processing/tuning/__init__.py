"""Search for the thresholds and parameters with the highest score on given events."""

from mlreco.post_processing.tuning.baseline_search import BaselineTuning, TunedValue, tune_baseline
from mlreco.post_processing.tuning.graph_search import GraphTuning, tune_graph
from mlreco.post_processing.tuning.linked_search import LinkedTuning, tune_linked
from mlreco.post_processing.tuning.outcome import TunedThresholds
from mlreco.post_processing.tuning.report import Search
from mlreco.post_processing.tuning.search import TunedClass, Tuning, tune

__all__ = [
    "BaselineTuning",
    "GraphTuning",
    "LinkedTuning",
    "Search",
    "TunedClass",
    "TunedThresholds",
    "TunedValue",
    "Tuning",
    "tune",
    "tune_baseline",
    "tune_graph",
    "tune_linked",
]
