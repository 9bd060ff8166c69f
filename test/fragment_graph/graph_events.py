"""Made-up events for the tests of the fragment graph."""

from __future__ import annotations

import numpy as np

from mlreco.semantics import PILARNET


def random_event(seed: int, fragments: int = 12, size: int = 400, most: int = 40) -> tuple[dict, np.ndarray]:
    """Return an event of random walks with long steps and the walk of each voxel; distances are hardly ever equal."""
    rng = np.random.default_rng(seed)
    walks = []
    for _ in range(fragments):
        steps = rng.normal(size=(int(rng.integers(1, most)), 3)) * 3 + rng.normal(size=3) * 2
        walks.append(np.clip(rng.integers(60, size - 60, 3) + np.cumsum(steps, axis=0), 0, size - 1).astype(np.int64))
    coordinates, first = np.unique(np.concatenate(walks), axis=0, return_index=True)
    owner = np.repeat(np.arange(fragments), [len(walk) for walk in walks])[first]
    owner = np.unique(owner, return_inverse=True)[1].reshape(-1)
    count = len(coordinates)
    classes = rng.integers(0, len(PILARNET), fragments)
    scores = rng.random((count, len(PILARNET))) + 0.1
    event = {
        "coordinates": coordinates.astype(np.int32),
        "energies": rng.random(count).astype(np.float32) + 0.1,
        "embeddings": rng.normal(size=(count, 3)).astype(np.float32),
        "margins": rng.random(count).astype(np.float32) + 0.01,
        "seediness": rng.random(count).astype(np.float32),
        "scores": (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32),
        "semantics": classes[owner],
        "image_shape": np.array([size, size, size]),
    }
    return event, owner.astype(np.int32)


def reordered(event: dict, rows: np.ndarray) -> dict:
    """Return the event with its voxels in another order."""
    return {name: values[rows] if name != "image_shape" else values for name, values in event.items()}
