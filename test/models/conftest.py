"""Small random events for the models."""

import numpy as np
import pytest
import torch

from mlreco.voxels import ImageMeta, VoxelBatch


def make_batch(sizes, seed=0, shape=(64, 64, 64), classes=5, instances=4):
    """Events of random walks, so that voxels have neighbours; labels stand in another row order than the input."""
    rng = np.random.default_rng(seed)
    events = []
    for number, size in enumerate(sizes):
        walk = np.cumsum(rng.integers(-1, 2, size=(6 * size + 1, 3)), axis=0) % shape
        sites = np.unique(walk, axis=0)
        sites = sites[np.sort(rng.permutation(len(sites))[:size])]
        events.append(np.c_[np.full(len(sites), number), sites])
    counts = tuple(len(event) for event in events)
    coordinates = torch.from_numpy(np.concatenate(events).astype(np.int64))
    rows = len(coordinates)
    energy = torch.from_numpy(rng.exponential(size=(rows, 1)).astype(np.float32))
    semantics = torch.from_numpy(rng.integers(0, classes, (rows, 1)).astype(np.float32))
    cluster = torch.from_numpy(rng.integers(0, instances, (rows, 1)).astype(np.float32))
    metas = tuple(ImageMeta(shape) for _ in sizes)
    order = torch.from_numpy(rng.permutation(rows))
    return {
        "input_data": VoxelBatch(coordinates, energy, ("value",), counts, metas),
        "segment_label": VoxelBatch(coordinates[order], semantics[order], ("value",), counts, metas),
        "cluster_label": VoxelBatch(
            coordinates[order],
            torch.cat([cluster, semantics], dim=1)[order],
            ("cluster", "semantic"),
            counts,
            metas,
        ),
    }


def draw_norms(network):
    """Give every normalisation random factors and statistics, so that none of them can be left out unnoticed."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)


def select_events(batch, numbers):
    """Return the batch made of some of its events, in the given order."""
    chosen = {}
    for name, table in batch.items():
        parts, features = [], []
        for new, old in enumerate(numbers):
            mask = table.coordinates[:, 0] == old
            part = table.coordinates[mask].clone()
            part[:, 0] = new
            parts.append(part)
            features.append(table.features[mask])
        chosen[name] = VoxelBatch(
            torch.cat(parts),
            torch.cat(features),
            table.columns,
            tuple(table.counts[old] for old in numbers),
            tuple(table.metas[old] for old in numbers),
        )
    return chosen


@pytest.fixture
def model_config():
    """A small chain."""
    return {
        "name": "chain",
        "class_scheme": "pilarnet",
        "modules": {
            "uresnet": {"filters": 4, "depth": 3, "reps": 1},
            "spice": {"filters": 4, "depth": 3, "reps": 1, "semantics": "predicted"},
        },
        "network_input": ["input_data"],
        "loss_input": ["segment_label", "cluster_label"],
    }
