"""The baselines: the products and the parameter of each, and the values that are tried when it is tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.post_processing.baselines.components import joined_components
from mlreco.post_processing.baselines.density import dense, hierarchical, mean_shift
from mlreco.post_processing.baselines.published_greedy import published_greedy
from mlreco.post_processing.clustering.greedy import GreedyClusterer
from mlreco.post_processing.settings.thresholds import Thresholds


@dataclass(frozen=True)
class Baseline:
    """A way to cluster the voxels of one class of one event.

    Attributes:
        requires: products, in the order of the arguments of ``cluster``.
        cluster: function of the rows of these products and of a value; returns (N,) labels, -1 for noise.
        parameter: name of the value and its unit.
        default: value where none is given; None: thresholds of the clusterer.
        candidates: values that are tried when it is tuned; none: it cannot be tuned.
    """

    requires: tuple[str, ...]
    cluster: Callable[..., np.ndarray]
    parameter: str
    default: float | None = None
    candidates: tuple[float, ...] = ()


def _greedy(embeddings: np.ndarray, margins: np.ndarray, seediness: np.ndarray, at: Thresholds) -> np.ndarray:
    return GreedyClusterer(*at).fit_predict(embeddings, margins, seediness)


def _published(embeddings: np.ndarray, margins: np.ndarray, seediness: np.ndarray, at: Thresholds) -> np.ndarray:
    return published_greedy(embeddings, margins, seediness, *at)


VOXEL_STEPS = (*np.arange(1, 10, 0.5).tolist(), 10.0, 12.0, 15.0, 20.0)
EMBEDDING_STEPS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)
BASELINES: Mapping[str, Baseline] = {
    "dbscan": Baseline(("coordinates",), joined_components, "eps (voxels)", 1.999, VOXEL_STEPS),
    "dbscan_embedding": Baseline(("embeddings",), dense, "eps", 0.05, EMBEDDING_STEPS),
    "hdbscan_embedding": Baseline(("embeddings",), hierarchical, "min_cluster_size", 10.0, (5.0, 10.0, 20.0, 40.0)),
    "meanshift_embedding": Baseline(("embeddings",), mean_shift, "bandwidth", 0.1, EMBEDDING_STEPS[3:]),
    "greedy": Baseline(("embeddings", "margins", "seediness"), _greedy, "s0, p0"),
    "greedy_original": Baseline(("embeddings", "margins", "seediness"), _published, "s0, p0"),
}
"""Name -> baseline. ``dbscan``: components of voxels that are at most eps apart; 1.999 joins voxels that touch.
``greedy``: the clusterer of this package, to see other thresholds without another inference."""


def baseline(name: str) -> Baseline:
    """Return the baseline of that name.

    Raises:
        UserError: there is none.
    """
    if name not in BASELINES:
        raise UserError(f"no baseline '{name}'{nearest(name, BASELINES)}")
    return BASELINES[name]
