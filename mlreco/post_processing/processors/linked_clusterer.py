"""Post-processor ``linked_clusterer``: fragments from the image and the embeddings of SPICE together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlreco.post_processing.clustering.fragments import fragments_by_class
from mlreco.post_processing.clustering.linked import LinkedClusterer
from mlreco.post_processing.processor import PostProcessor
from mlreco.post_processing.settings.link_thresholds import resolve_link_thresholds
from mlreco.semantics import PILARNET, ClassScheme


class LinkedFragments(PostProcessor):
    """Adds ``fragments``, (N,) int32: the instance of each voxel, unique over the classes of the event, -1 for none.

    Args:
        class_scheme: the classes.
        thresholds: class name -> ``{voxel_distance, embedding_distance, join_distance, min_voxels}``, or the path of a
            file that ``mlreco tune --clusterer linked`` wrote; what is not named gets the values of
            ``link_thresholds.SHIPPED``.
        skip_classes: names of classes that are not clustered.

    Raises:
        UserError: an unknown class or key, or a value out of range.
    """

    requires = ("semantics", "coordinates", "embeddings")
    provides = ("fragments",)

    def __init__(
        self,
        class_scheme: ClassScheme = PILARNET,
        thresholds: dict[str, dict[str, float]] | str | None = None,
        skip_classes: Sequence[str] = (),
    ) -> None:
        self._clusterers = {
            name: LinkedClusterer(*values) for name, values in resolve_link_thresholds(thresholds, class_scheme).items()
        }
        self.thresholds = {name: one.thresholds._asdict() for name, one in self._clusterers.items()}
        self.skip_classes = tuple(class_scheme.classes[class_scheme.number(name)] for name in skip_classes)

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the fragments of an event."""
        semantics, coordinates, embeddings = (event[name] for name in self.requires)

        def cluster(name: str, rows: np.ndarray) -> np.ndarray:
            return self._clusterers[name].fit_predict(coordinates[rows], embeddings[rows])

        return {"fragments": fragments_by_class(semantics, len(coordinates), cluster, scheme, self.skip_classes)}
