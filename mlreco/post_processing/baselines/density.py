"""Density clustering of voxels with scikit-learn, in space or in the embedding.

scikit-learn is imported inside the functions that cluster with it, so that listing the baselines is quick.
"""

from __future__ import annotations

import numpy as np

NOISE = -1
EMBEDDING_NEIGHBOURS = 5
"""``min_samples`` of DBSCAN in the embedding."""


def dense(points: np.ndarray, eps: float) -> np.ndarray:
    """Return the (N,) clusters of DBSCAN with 5 neighbours in a core, noise given to the nearest clustered point."""
    from sklearn.cluster import DBSCAN

    return absorb_noise(points, DBSCAN(eps=eps, min_samples=EMBEDDING_NEIGHBOURS).fit_predict(points))


def hierarchical(points: np.ndarray, min_cluster_size: float) -> np.ndarray:
    """Return the (N,) clusters of HDBSCAN, a single one allowed, noise given to the nearest clustered point."""
    if len(points) < min_cluster_size:
        return np.zeros(len(points), np.int64)
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(min_cluster_size=int(min_cluster_size), allow_single_cluster=True, copy=True)
    return absorb_noise(points, model.fit_predict(points))


def mean_shift(points: np.ndarray, bandwidth: float) -> np.ndarray:
    """Return the (N,) clusters of mean shift with a flat kernel, started from the occupied bins of one bandwidth.

    Takes seconds for a thousand points, because scikit-learn moves every start separately.
    """
    from sklearn.cluster import MeanShift

    bins = np.unique(np.round(points / bandwidth), axis=0)
    return MeanShift(bandwidth=bandwidth, seeds=bins * bandwidth).fit_predict(points)


def absorb_noise(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return labels in which noise has the label of the nearest point that has one; 0 where all is noise.

    The greedy clusterer gives every voxel an instance; noise left alone would count as one merged instance.

    Args:
        points: (N, D) floats.
        labels: (N,) integers, -1 for noise.
    """
    from scipy.spatial import cKDTree

    noise = labels == NOISE
    if noise.all():
        return np.zeros_like(labels)
    labels = labels.copy()
    labels[noise] = labels[~noise][cKDTree(points[~noise]).query(points[noise])[1]]
    return labels
