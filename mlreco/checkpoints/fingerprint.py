"""The fingerprint of events: their typical properties and a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mlreco.checkpoints.metadata import DataFingerprint, Quantiles
from mlreco.errors import UserError
from mlreco.voxels import EventVoxels

PROBABILITIES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
SAMPLED = 64
"""Number of events that are read."""
_FILES = 100
_SHAPES = 10


class Events(Protocol):
    """Parsed events of some files, such as :class:`mlreco.iotools.LArCVDataset`."""

    files: list[Path]

    def __len__(self) -> int:
        """Number of events."""

    def fetch(self, index: int) -> Mapping[str, Any]:
        """Return the blobs of an event by schema key."""


def fingerprint(events: Events, image: str, sampled: int = SAMPLED) -> DataFingerprint:
    """Return the fingerprint of events.

    Args:
        events: the dataset; events that cannot be read are left out.
        image: schema key of the network's input.
        sampled: how many events are read, evenly spread.
    """
    hashed = hashlib.sha256(str(len(events)).encode())
    images: list[EventVoxels] = []
    for index in _spread(events, sampled):
        try:
            event = events.fetch(index)
        except UserError:
            hashed.update(b"unreadable")
            continue
        _digest(hashed, event)
        if isinstance(event.get(image), EventVoxels):
            images.append(event[image])
    counts = np.array([len(one) for one in images])
    energies = np.concatenate([one.features[:, 0] for one in images]) if images else np.empty(0)
    shapes = sorted({(int(x), int(y), int(z)) for x, y, z in (one.meta.shape for one in images)})
    width, height, depth = map(float, images[0].meta.voxel_size) if images else (0.0, 0.0, 0.0)
    return DataFingerprint(
        files=tuple(str(file) for file in events.files[:_FILES]),
        events=len(events),
        endless=bool(getattr(events, "endless", False)),
        sampled=len(images),
        voxel_size=(width, height, depth) if images else None,
        image_shapes=tuple(shapes[:_SHAPES]),
        voxels_per_event=_quantiles(counts),
        energy_per_voxel=_quantiles(energies),
        digest=hashed.hexdigest(),
    )


def _spread(events: Events, count: int) -> list[int]:
    """Return places of events, evenly spread; where events are of several kinds, over each of them."""
    own = getattr(events, "spread", None)
    if own is not None:
        return own(count)
    return np.unique(np.linspace(0, len(events) - 1, min(count, len(events))).astype(np.int64)).tolist()


def _digest(hashed: Any, event: Mapping[str, Any]) -> None:
    """Add the numbers of an event to the digest; the name of its file does not matter."""
    for key in sorted(event):
        blob = event[key]
        if key in ("index", "source"):
            continue
        hashed.update(key.encode())
        for array in (blob.coordinates, blob.features) if isinstance(blob, EventVoxels) else (blob,):
            if isinstance(array, np.ndarray):
                _digest_array(hashed, array)


def _digest_array(hashed: Any, array: np.ndarray) -> None:
    """Add an array, a table column by column: what lies between its columns is not defined."""
    for name in array.dtype.names or ():
        _digest_array(hashed, array[name])
    if array.dtype.names is None and not array.dtype.hasobject:
        hashed.update(f"{array.dtype} {array.shape}".encode())
        hashed.update(np.ascontiguousarray(array).tobytes())


def _quantiles(values: np.ndarray) -> Quantiles | None:
    if not len(values):
        return None
    found = np.quantile(values.astype(np.float64), PROBABILITIES)
    return Quantiles(probabilities=PROBABILITIES, values=tuple(found.tolist()))
