"""Metrics of a clustering against the truth, as functions of arrays of labels.

Every function takes either two arrays of labels or a ``Contingency``; all are invariant to the order of rows and to the
values of the labels, give 1 for a perfect prediction and NaN where there is no voxel.
"""

from mlreco.post_processing.metrics.best_dice import symmetric_best_dice
from mlreco.post_processing.metrics.mutual_information import adjusted_mutual_information
from mlreco.post_processing.metrics.purity import efficiency, efficiency_of_true, purity, purity_of_predicted
from mlreco.post_processing.metrics.rand_index import adjusted_rand_index

__all__ = [
    "adjusted_mutual_information",
    "adjusted_rand_index",
    "efficiency",
    "efficiency_of_true",
    "purity",
    "purity_of_predicted",
    "symmetric_best_dice",
]
