"""Post-processor ``greedy_clusterer``: fragments from the embeddings of SPICE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.post_processing.clustering.fragments import cluster_event
from mlreco.post_processing.clustering.greedy import GreedyClusterer
from mlreco.post_processing.processor import PostProcessor
from mlreco.post_processing.settings.thresholds import resolve_thresholds
from mlreco.semantics import PILARNET, ClassScheme

if TYPE_CHECKING:
    import torch

ENGINES = ("auto", "numba", "torch")


class GreedyFragments(PostProcessor):
    """Adds ``fragments``, (N,) int32: the instance of each voxel, unique over the classes of the event, -1 for none.

    Args:
        class_scheme: the classes.
        thresholds: class name -> ``{seed: s0, probability: p0}``, or the path of a file that ``mlreco tune`` wrote;
            classes that are not named get the paper's Table II.
        skip_classes: names of classes that are not clustered.
        min_voxels: smaller fragments become -1.
        unseeded: ``instance`` or ``noise``: what becomes of a class without a voxel of seediness s0.
        refine_seeds: see ``GreedyClusterer``; on the host only.
        engine: ``numba`` on the host, ``torch`` on the device of the network, or ``auto``: numba, which was the faster
            one for every size of event and batch that was measured. The fragments are the same.

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
        refine_seeds: bool = False,
        engine: str = "auto",
    ) -> None:
        if engine not in ENGINES:
            raise UserError(f"engine is '{engine}'{nearest(engine, ENGINES)}")
        if refine_seeds and engine == "torch":
            raise UserError("refine_seeds needs engine 'numba' or 'auto'")
        self.engine = engine
        resolved = resolve_thresholds(thresholds, class_scheme)
        self.thresholds = {name: values._asdict() for name, values in resolved.items()}
        self.skip_classes = tuple(class_scheme.classes[class_scheme.number(name)] for name in skip_classes)
        self.min_voxels, self.unseeded, self.refine_seeds = min_voxels, unseeded, refine_seeds
        GreedyClusterer(min_voxels=min_voxels, unseeded=unseeded)
        self._resolved = resolved

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the fragments of an event."""
        fragments = cluster_event(
            event["semantics"],
            event["embeddings"],
            event["margins"],
            event["seediness"],
            self._resolved,
            scheme,
            self.skip_classes,
            min_voxels=self.min_voxels,
            unseeded=self.unseeded,
            refine_seeds=self.refine_seeds,
        )
        return {"fragments": fragments}

    def takes_batch_on(self, device: torch.device) -> bool:
        """Tell whether a batch on that device is to be clustered there."""
        return self.engine == "torch"

    def process_batch(
        self, products: Mapping[str, torch.Tensor], events: torch.Tensor, event_count: int, scheme: ClassScheme
    ) -> dict[str, torch.Tensor]:
        """Return the fragments of a batch, on its device.

        Args:
            products: those of ``requires``, one row a voxel.
            events: (N,) integers, number of the event of each voxel.
            event_count: number of events, empty ones included.
            scheme: the classes.
        """
        from mlreco.post_processing.clustering.batched import cluster_batch

        fragments = cluster_batch(
            events,
            event_count,
            products["semantics"],
            products["embeddings"],
            products["margins"],
            products["seediness"],
            self._resolved,
            scheme,
            self.skip_classes,
            min_voxels=self.min_voxels,
            unseeded=self.unseeded,
        )
        return {"fragments": fragments}
