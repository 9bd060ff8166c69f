"""A parser: the voxels above a threshold."""

from dataclasses import replace

from mlreco.voxels import EventVoxels


def parse_bright(sparse_event: EventVoxels, threshold: float = 1.0) -> EventVoxels:
    """Keep the voxels whose value is above the threshold."""
    keep = sparse_event.features[:, 0] > threshold
    return replace(sparse_event, coordinates=sparse_event.coordinates[keep], features=sparse_event.features[keep])
