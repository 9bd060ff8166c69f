"""Other ways to cluster the voxels of a class, by name, for comparison with the clusterers of SPICE."""

from mlreco.post_processing.baselines.compare import comparison_table, evaluate_baselines
from mlreco.post_processing.baselines.methods import BASELINES, Baseline, baseline
from mlreco.post_processing.baselines.values import baseline_values, read_baseline_values

__all__ = [
    "BASELINES",
    "Baseline",
    "baseline",
    "baseline_values",
    "comparison_table",
    "evaluate_baselines",
    "read_baseline_values",
]
