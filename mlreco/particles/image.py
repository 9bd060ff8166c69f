"""What the measuring of particles needs to know of an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.predicted import INSTANCES, is_in_true_classes, predicted_instances
from mlreco.semantics import ClassScheme


@dataclass(frozen=True)
class LabelledImage:
    """The voxels of one event with their classes and particles.

    Attributes:
        scheme: the numbering of the classes.
        coordinates: (N, 3) voxel numbers.
        semantics: (N,) class numbers.
        instances: (N,) number of the particle of each voxel, -1 for none.
        energies: (N,) MeV; None for an image without.
        origin: corner of voxel (0, 0, 0), cm.
        voxel_size: edges of a voxel, cm; they may differ.
        shape: number of voxels along each axis; None where it is not known, and then containment is not either.
        scores: (N, C) probabilities of the classes.
        margins: (N,) margins of the network.
        seediness: (N,) seediness of the network.
        confidences: (P,) confidence in particle number 0, 1, 2, ...
        interactions: (P,) number of the interaction of particle number 0, 1, 2, ...; -1 for none.
        in_true_classes: whether the particles were made in true classes, which are in no doubt.
    """

    scheme: ClassScheme
    coordinates: np.ndarray
    semantics: np.ndarray
    instances: np.ndarray
    energies: np.ndarray | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voxel_size: tuple[float, float, float] = (0.3, 0.3, 0.3)
    shape: tuple[int, int, int] | None = None
    scores: np.ndarray | None = None
    margins: np.ndarray | None = None
    seediness: np.ndarray | None = None
    confidences: np.ndarray | None = None
    interactions: np.ndarray | None = None
    in_true_classes: bool = False

    @classmethod
    def from_products(
        cls, event: Mapping[str, np.ndarray], scheme: ClassScheme, instances: str | None = None
    ) -> LabelledImage:
        """Take what is needed from the products of an event, as output files hold them.

        Args:
            event: product to array.
            scheme: the numbering of the classes.
            instances: product with the particle of each voxel; ``instances`` if the event has it, else ``fragments``.

        Raises:
            UserError: a product is missing.
        """
        chosen = instances or predicted_instances(event)
        for name in ("coordinates", "semantics", chosen):
            if name not in event:
                raise UserError(f"no product '{name}', without which there are no particles")
        geometry: dict[str, Any] = {}
        if "image_origin" in event and "voxel_size" in event:
            geometry = {name: tuple(event[key][0].tolist()) for name, key in _GEOMETRY.items() if key in event}
        known = _OPTIONAL | (_OF_INSTANCES if chosen == INSTANCES else {})
        optional: dict[str, Any] = {name: event[key] for name, key in known.items() if key in event}
        optional["in_true_classes"] = is_in_true_classes(event)
        return cls(scheme, event["coordinates"], event["semantics"], event[chosen], **geometry, **optional)


_GEOMETRY = {"origin": "image_origin", "voxel_size": "voxel_size", "shape": "image_shape"}
_OPTIONAL = {
    "energies": "energies",
    "scores": "semantic_scores",
    "margins": "margins",
    "seediness": "seediness",
}
_OF_INSTANCES = {"confidences": "instance_confidences", "interactions": "instance_interactions"}
