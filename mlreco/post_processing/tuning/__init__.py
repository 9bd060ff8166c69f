"""Search of the thresholds and parameters that do best on given events."""

from mlreco.post_processing.tuning.baseline_search import BaselineTuning, TunedValue, tune_baseline
from mlreco.post_processing.tuning.search import TunedClass, Tuning, tune

__all__ = ["BaselineTuning", "TunedClass", "TunedValue", "Tuning", "tune", "tune_baseline"]
