"""Events that others have published, beside the simulated ones: is a chain as good on them?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

import mlreco
from benchmarks.zoo.runs import Zoo
from mlreco.cli.events import event_slice

SMALLEST = 10
"""Voxels of the smallest true instance that counts."""
SPREAD = (0.05, 0.95)
"""Quantiles between which most simulated events lie."""


def compare(zoo: Zoo, published: Path, chosen: str, simulated: Path) -> dict[str, Any]:
    """Return the adjusted Rand index of every published event, and where those of simulated ones lie.

    Clustered in predicted classes. Voxels of all classes count, also those whose true class was not published.

    Args:
        zoo: the chain.
        published: file with events.
        chosen: which of them, as ``--events`` of the program takes it.
        simulated: file with simulated events.
    """
    thresholds = zoo.graph_thresholds("predicted")
    found = _indices(zoo.reconstruct(published, "predicted", thresholds, chosen))
    expected = _indices(zoo.reconstruct(simulated, "predicted", thresholds))
    first = event_slice(chosen).start or 0
    return {
        "file": published.name,
        "events": {f"event {number}": index for number, index in enumerate(found, first)},
        "simulated": {"mean": float(np.mean(expected)), "spread": np.quantile(expected, SPREAD).tolist()},
    }


def _indices(output: Path) -> list[float]:
    """Return the adjusted Rand index of every event, as scikit-learn has it."""
    with mlreco.open(output) as events:
        return [_index(event.instances_true, event.instances) for event in events]


def _index(true: np.ndarray, found: np.ndarray) -> float:
    """Return the adjusted Rand index of the voxels in true instances that are large enough; -1 is in none."""
    inside = true >= 0
    true, found = true[inside], found[inside]
    large = np.bincount(true)[true] >= SMALLEST
    return float(adjusted_rand_score(true[large], found[large]))
