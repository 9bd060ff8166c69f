"""Post-processor ``greedy_clusterer``: fragments from the embeddings of SPICE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlreco.post_processing.fragments import cluster_event
from mlreco.post_processing.greedy import GreedyClusterer
from mlreco.post_processing.processor import PostProcessor
from mlreco.post_processing.thresholds import resolve_thresholds
from mlreco.semantics import PILARNET, ClassScheme


class GreedyFragments(PostProcessor):
    """Adds ``fragments``, (N,) int32: the instance of each voxel, unique over the classes of the event, -1 for none.

    Args:
        class_scheme: the classes.
        thresholds: class name -> ``{seed: s0, probability: p0}``, or the path of a file that ``mlreco tune`` wrote;
            classes that are not named get the paper's Table II.
        skip_classes: names of classes that are not clustered.
        min_voxels: smaller fragments become -1.
        unseeded: ``instance`` or ``noise``: what becomes of a class without a voxel of seediness s0.

    Raises:
        UserError: an unknown class or key, or a value out of range.
    """

    requires = ("semantics", "embeddings", "margins", "seediness")
    provides = ("fragments",)

    def __init__(
        self,
        class_scheme: ClassScheme = PILARNET,
        thresholds: dict[str, dict[str, float]] | str | None = None,
        skip_classes: Sequence[str] = (),
        min_voxels: int = 0,
        unseeded: str = "instance",
    ) -> None:
        resolved = resolve_thresholds(thresholds, class_scheme)
        self.thresholds = {name: values._asdict() for name, values in resolved.items()}
        self.skip_classes = tuple(class_scheme.classes[class_scheme.number(name)] for name in skip_classes)
        self.options = {"min_voxels": min_voxels, "unseeded": unseeded}
        GreedyClusterer(**self.options)
        self._resolved = resolved

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the fragments of an event."""
        arrays = (event[name] for name in self.requires)
        return {"fragments": cluster_event(*arrays, self._resolved, scheme, self.skip_classes, **self.options)}
