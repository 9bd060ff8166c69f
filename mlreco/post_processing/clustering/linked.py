"""The linked clusterer: instances of one semantic class of one event from space and embedding together."""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.clustering.embedded_voxels import LARGEST
from mlreco.post_processing.clustering.numbering import in_order_of_rows
from mlreco.post_processing.clustering.pieces import Pieces
from mlreco.post_processing.settings.link_thresholds import LinkThresholds, check_link_thresholds
from mlreco.post_processing.settings.parameters import Parameters


class LinkedClusterer(Parameters):
    """Clustering of the voxels of one semantic class of one event by links in space and in the embedding.

    The greedy rule of SPICE asks whether a voxel lies within the margin of one seed: a long track whose embedding is
    stretched falls apart. Here voxels are linked to their neighbours, which follows the track, and links need similar
    embeddings, which separates particles that touch:

    1. Voxels near in both, see ``Pieces.link``, are linked; a connected component is a piece. 2. Pieces of
    ``min_voxels`` or more whose mean embeddings are within ``join_distance`` are one instance: the parts
       of a shower need not touch.
    3. Smaller pieces go to the nearest of those in the embedding.

    Margins and seediness are not used. The partition does not depend on the order of rows.

    Args:
        voxel_distance, embedding_distance, join_distance, min_voxels: see ``LinkThresholds``.

    Raises:
        UserError: a threshold out of its range.
    """

    def __init__(
        self,
        voxel_distance: float = 12.0,
        embedding_distance: float = 0.1,
        join_distance: float = 0.0,
        min_voxels: float = 10,
    ) -> None:
        self.voxel_distance = voxel_distance
        self.embedding_distance = embedding_distance
        self.join_distance = join_distance
        self.min_voxels = min_voxels
        self.thresholds = LinkThresholds(voxel_distance, embedding_distance, join_distance, min_voxels)
        check_link_thresholds("the class", self.thresholds)

    def fit_predict(self, coordinates: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        """Cluster voxels.

        Args:
            coordinates: (N, 3) numbers, in voxels.
            embeddings: (N, D) floats, any D.

        Returns:
            (N,) int32 instance numbers 0 to K - 1 in the order of their first rows.

        Raises:
            UserError: shapes that do not fit, or a value that is not finite (or beyond float32).
        """
        coordinates, embeddings = np.asarray(coordinates), np.asarray(embeddings)
        for name, values in (("coordinates", coordinates), ("embeddings", embeddings)):
            if values.ndim != 2 or len(values) != len(coordinates):
                raise UserError(f"{name} have shape {values.shape}; a row for each of {len(coordinates)} is needed")
            if values is coordinates and values.shape[1] != 3:
                raise UserError(f"coordinates have shape {values.shape}; (N, 3) is needed")
            if values.size and not np.abs(values).max() <= LARGEST:
                row = int(np.argmax(~(np.abs(values) <= LARGEST).all(axis=1)))
                raise UserError(f"{name} hold {values[row].tolist()} in row {row}; finite numbers are needed")
        if not len(coordinates):
            return np.empty(0, np.int32)
        pieces = Pieces.link(coordinates, embeddings, *self.thresholds[:2])
        labels = pieces.joined(*self.thresholds[2:])[pieces.of_voxel]
        return in_order_of_rows(labels).astype(np.int32)
