"""The greedy rule as the authors of SPICE programmed it, single precision and plain probabilities included."""

from __future__ import annotations

import numpy as np

NOISE = -1
TAKEN = np.float32(-1)
SOFTENING = np.float32(1e-8)
"""Added to ``2 sigma^2`` in the denominator."""


def published_greedy(
    embeddings: np.ndarray,
    margins: np.ndarray,
    seediness: np.ndarray,
    seed_threshold: float,
    probability_threshold: float,
) -> np.ndarray:
    """Cluster the voxels of one class.

    Where it differs from ``GreedyClusterer``: probabilities are float32 and vanish beyond 14 sigma, so a voxel that is
    far from all seeds goes to the first one; it ends when a seed does not even take itself (seediness 0); a class
    without a seed stays without an instance.

    Args:
        embeddings: (N, D) floats.
        margins: (N,) floats.
        seediness: (N,) floats.
        seed_threshold: s0.
        probability_threshold: p0.

    Returns:
        (N,) int32 number of the seed of highest probability, of equal ones the first; -1 for all without a seed.
    """
    embeddings, margins, left = (np.asarray(a, np.float32) for a in (embeddings, margins, seediness))
    left = left.copy()
    labels = np.full(len(left), NOISE, np.int32)
    highest = np.full(len(left), TAKEN)
    count = 0
    while len(left):
        seed = int(left.argmax())
        if left[seed] < seed_threshold or left[seed] <= 0:
            break
        squared = ((embeddings - embeddings[seed]) ** 2).sum(axis=1)
        probability = np.exp(-squared / (2 * margins[seed] ** 2 + SOFTENING))
        closer = probability > highest
        labels[closer], highest[closer] = count, probability[closer]
        left[(probability > probability_threshold) & (left > 0)] = TAKEN
        count += 1
    return labels
