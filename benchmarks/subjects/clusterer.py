"""The clusterer of SPICE against the rule as it is written down, and against scikit-learn's DBSCAN."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.cluster import DBSCAN

from benchmarks.measurement import OURS, Measurement, Settings
from benchmarks.timing import Contender, interleave
from mlreco.post_processing import GreedyClusterer
from mlreco.post_processing.baselines.published_greedy import published_greedy

TITLE = "Clusterer: one class of one event, one thread"
_SIZES, _QUICK = ((10_000, 50), (100_000, 500)), ((300, 10),)
_SEED_THRESHOLD, _PROBABILITY_THRESHOLD = 0.5, 0.3
_WIDTH, _DISTANCE = 0.03, 0.02

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def measure(settings: Settings) -> Iterator[Measurement]:
    """Time all clusterers on the same embeddings."""
    for voxels, instances in _QUICK if settings.quick else _SIZES:
        arrays = embedded(voxels, instances)
        runs = {
            OURS: lambda a=arrays: GreedyClusterer(_SEED_THRESHOLD, _PROBABILITY_THRESHOLD).fit_predict(*a),
            "rule in numpy": lambda a=arrays: written_rule(*a, _SEED_THRESHOLD, _PROBABILITY_THRESHOLD),
            "authors' program": lambda a=arrays: published_greedy(*a, _SEED_THRESHOLD, _PROBABILITY_THRESHOLD),
            "DBSCAN": lambda a=arrays: DBSCAN(eps=_DISTANCE, min_samples=1).fit_predict(a[0]),
        }
        if not np.array_equal(runs[OURS](), runs["rule in numpy"]()):
            raise AssertionError("the clusterer does not follow the rule")
        case = f"{instances} instances"
        yield from interleave([Contender(case, name, run, voxels) for name, run in runs.items()], settings)


def embedded(voxels: int, instances: int) -> Arrays:
    """Return embeddings as a trained network makes them: a ball for every instance, sizes from few voxels to many.

    Returns:
        (N, 3) embeddings, (N,) margins, (N,) seediness, all float32.
    """
    rng = np.random.default_rng(0)
    instance = rng.choice(instances, voxels, p=rng.dirichlet(np.full(instances, 0.5)))
    offset = rng.normal(0, _WIDTH, (voxels, 3))
    embeddings = rng.uniform(-1.5, 1.5, (instances, 3))[instance] + offset
    margins = 2 * _WIDTH * rng.uniform(0.8, 1.2, voxels)
    seediness = np.exp(-(offset**2).sum(axis=1) / (2 * (2 * _WIDTH) ** 2)) * rng.uniform(0.9, 1.0, voxels)
    return tuple(a.astype(np.float32) for a in (embeddings, margins, seediness))


def written_rule(
    embeddings: np.ndarray,
    margins: np.ndarray,
    seediness: np.ndarray,
    seed_threshold: float,
    probability_threshold: float,
) -> np.ndarray:
    """Cluster word for word as section II.C of the paper says, on log p: every seed looks at every voxel."""
    embeddings, margins = embeddings.astype(np.float64), margins.astype(np.float64)
    left = np.ones(len(embeddings), bool)
    scores = []
    while left.any():
        seed = int(np.where(left, seediness, -np.inf).argmax())
        if scores and seediness[seed] < seed_threshold:
            break
        squared = sum((embeddings[:, axis] - embeddings[seed, axis]) ** 2 for axis in range(embeddings.shape[1]))
        scores.append(squared * (0.5 / (margins[seed] * margins[seed])))
        left &= scores[-1] >= -np.log(probability_threshold)
        left[seed] = False
    return np.argmin(scores, axis=0).astype(np.int32)
