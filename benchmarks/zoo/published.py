"""Events that others have published, beside the simulated ones: is a chain as good on them?

What counts as one instance differs: some list every trajectory of a shower by itself, and which of them belong together
stands in their group. So the index is taken twice, with instances as they are and with those of a group as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

import mlreco
from benchmarks.zoo.runs import Zoo
from mlreco.cli.events import event_slice
from mlreco.semantics import UNKNOWN

KINDS = ("instances", "groups")
SMALLEST = 10
"""Voxels of the smallest true instance that counts."""
SPREAD = (0.05, 0.95)
"""Quantiles between which most simulated events lie."""


def compare(zoo: Zoo, published: Path, chosen: str, simulated: Path) -> dict[str, Any]:
    """Return the adjusted Rand indices of every published event, and where those of simulated ones lie.

    Clustered in predicted classes. Voxels of all classes count, also those whose true class was not published. An index
    is that of the true ``instances`` or of their ``groups``.

    Args:
        zoo: the chain.
        published: file with events.
        chosen: which of them, as ``--events`` of the program takes it.
        simulated: file with simulated events.
    """
    thresholds = zoo.graph_thresholds("predicted")
    found = _indices(zoo.reconstruct(published, "predicted", thresholds, chosen, particles=True))
    expected = _indices(zoo.reconstruct(simulated, "predicted", thresholds, particles=True))
    first = event_slice(chosen).start or 0
    return {
        "file": published.name,
        "events": {f"event {number}": indices for number, indices in enumerate(found, first)},
        "simulated": {kind: _summary([indices[kind] for indices in expected]) for kind in KINDS},
    }


def _summary(indices: list[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(indices)), "spread": np.quantile(indices, SPREAD).tolist()}


def _indices(output: Path) -> list[dict[str, float]]:
    """Return the adjusted Rand indices of every event, as scikit-learn has them."""
    with mlreco.open(output) as events:
        return [
            {
                "instances": _index(event.instances_true, event.instances),
                "groups": _index(groups(event), event.instances),
            }
            for event in events
        ]


def groups(event: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the group of the true instance of each voxel, (N,), -1 for none; an instance of no group is its own."""
    instances, table = event["instances_true"], event["particles_true"]
    known = table["group"][: instances.max(initial=-1) + 1]
    numbers = np.arange(instances.max(initial=-1) + 1) + known.max(initial=-1) + 1
    numbers[: len(known)] = np.where(known >= 0, known, numbers[: len(known)])
    return np.append(numbers, UNKNOWN)[instances]


def _index(true: np.ndarray, found: np.ndarray) -> float:
    """Return the adjusted Rand index of the voxels in true instances that are large enough; -1 is in none."""
    inside = true >= 0
    true, found = true[inside], found[inside]
    large = np.bincount(true)[true] >= SMALLEST
    return float(adjusted_rand_score(true[large], found[large]))
