"""Search of the thresholds and parameters that do best on given events."""

from mlreco.post_processing.tuning.report import thresholds_text, tuning_json, tuning_table
from mlreco.post_processing.tuning.search import TunedClass, Tuning, tune

__all__ = ["TunedClass", "Tuning", "thresholds_text", "tune", "tuning_json", "tuning_table"]
