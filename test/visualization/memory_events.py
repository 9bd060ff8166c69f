"""Events in memory, as the reader of output files gives them."""

import numpy as np

CLASSES = ["HIP", "MIP", "Shower", "Delta", "Michel"]


class MemoryReader:
    """The part of `HDF5Reader` that displays use, over events in memory."""

    def __init__(self, events, **info):
        self.events = events
        self.products = sorted(events[0]) if events else []
        self.columns = {"times": ("network", "clusterer")}
        self.info = {"class_scheme": "pilarnet", "classes": CLASSES, **info}

    def __len__(self):
        return len(self.events)

    def __getitem__(self, index):
        return self.event(index)

    def event(self, index, products=None):
        event = self.events[index]
        return {name: event[name] for name in (event if products is None else products)}

    def range(self, first, end, products=None):
        parts = [self.event(index, products) for index in range(first, end)]
        return {
            name: (np.concatenate([part[name] for part in parts]), np.cumsum([0, *(len(part[name]) for part in parts)]))
            for name in parts[0]
        }


def make_event(n_voxels=300, n_instances=6, number=0, seed=0):
    """Straight tracks of different classes; the prediction cuts the first true instance and leaves out a voxel."""
    random = np.random.default_rng(seed)
    instances = np.sort(random.integers(0, n_instances, n_voxels)).astype(np.int32)
    steps = np.arange(n_voxels)
    coordinates = np.stack([steps % 300, 40 * instances + steps % 7, steps // 300], axis=1).astype(np.int32)
    fragments = instances + 10
    first = np.flatnonzero(instances == 0)
    fragments[first[: len(first) // 3]] = 99
    fragments[-1:] = -1
    semantics = (instances % 5).astype(np.int8)
    predicted = semantics.copy()
    predicted[::17] = 4
    return {
        "coordinates": coordinates,
        "energies": random.lognormal(-1, 1, n_voxels).astype(np.float32),
        "semantics": semantics,
        "semantics_true": semantics,
        "semantics_predicted": predicted,
        "instances_true": instances,
        "fragments": fragments.astype(np.int32),
        "embeddings": (instances[:, None] + random.normal(0, 0.1, (n_voxels, 3))).astype(np.float32),
        "margins": random.random(n_voxels).astype(np.float32),
        "seediness": random.random(n_voxels).astype(np.float32),
        "event_id": np.array([[7, 3, number]]),
        "source": np.array([[0, number]]),
        "image_shape": np.array([[512, 512, 512]]),
        "image_origin": np.array([[-76.8, -76.8, -76.8]]),
        "voxel_size": np.array([[0.3, 0.3, 0.3]]),
        "times": np.array([[0.2, 0.01]], np.float32),
    }
