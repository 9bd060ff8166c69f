"""Images: voxels with one or more features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlreco.errors import UserError
from mlreco.voxels import EventVoxels


def parse_sparse3d(
    sparse_event: EventVoxels | None = None, sparse_event_list: Sequence[EventVoxels] | None = None
) -> EventVoxels:
    """Join images of the same voxels into one with several features.

    Args:
        sparse_event: one image.
        sparse_event_list: several images; each gives a feature column, named after its producer.

    Raises:
        UserError: no image given, or the images have different voxels.
    """
    images = [*([] if sparse_event is None else [sparse_event]), *(sparse_event_list or [])]
    if not images:
        raise UserError("parse_sparse3d needs 'sparse_event' or 'sparse_event_list'")
    first = images[0]
    if len(images) == 1:
        return first
    for other in images[1:]:
        if other.meta.shape != first.meta.shape or not np.array_equal(other.coordinates, first.coordinates):
            raise UserError(
                f"images '{first.columns[0]}' ({len(first)} voxels) and '{other.columns[0]}' ({len(other)} voxels) "
                "have different voxels; give them schema keys of their own"
            )
    columns = tuple(column for image in images for column in image.columns)
    return EventVoxels(first.coordinates, np.hstack([image.features for image in images]), columns, first.meta)
