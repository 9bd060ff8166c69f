"""Post-processor ``particle_builder``: the tables of particles and interactions of an event as products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlreco.errors import UserError
from mlreco.particles.image import LabelledImage
from mlreco.particles.matching import match_particles
from mlreco.particles.measures import SHOWER_RESPONSE, check_shower_response
from mlreco.particles.reconstruction import reconstruct_events
from mlreco.particles.sharing import resolve_class_bias
from mlreco.particles.truth import true_particles
from mlreco.post_processing.processor import PostProcessor
from mlreco.semantics import PILARNET, ClassScheme


class ParticleBuilder(PostProcessor):
    """Adds ``particles``, ``interactions`` and ``track_dedx`` (:mod:`mlreco.particles.columns`).

    With true instances also ``particles_true`` (:mod:`mlreco.particles.truth`), where the event does not have it, and
    ``matches`` and ``matches_true``, a row for each row of the two tables (:mod:`mlreco.particles.matching`).

    Args:
        instances: product that holds the particle of each voxel; ``instances`` where a stage makes it, else
            ``fragments``.
        containment_margin: a particle is contained if its voxels are farther than this from the walls, cm.
        class_bias: class name -> logarithm of the factor by which the odds of the class are too high in the chain's
            scores, 0 for the rest: ``class_offsets`` plus the logarithm of the training's ``class_weights``. By these
            scores Michel and delta electrons share the voxels near their track with it (``expected_energy``); without
            it, and in events that were clustered in true classes (``in_true_classes``), they do not.
        shower_response: part of the energy of a contained shower that is in the voxels of its particle: what
            thresholds of voxels and the chain leave of it. Kinetic energies of showers are that of their voxels over
            this.
        class_scheme: the classes.

    Raises:
        UserError: ``class_bias`` has an unknown class, or a value that is no finite number; ``shower_response`` is no
            positive number.
    """

    def __init__(
        self,
        instances: str | None = None,
        containment_margin: float = 3.0,
        class_bias: Mapping[str, float] | None = None,
        shower_response: float = SHOWER_RESPONSE,
        class_scheme: ClassScheme = PILARNET,
    ) -> None:
        resolve_class_bias(class_bias, class_scheme)
        check_shower_response(shower_response)
        self.instances = instances
        self.containment_margin = containment_margin
        self.class_bias = class_bias
        self.shower_response = shower_response
        self.requires = ("coordinates", "energies", "semantics", *([instances] if instances else []))
        self.provides = ("particles", "interactions", "track_dedx")

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the tables of an event."""
        return self._tables([event], scheme)[0]

    def of_events(self, events: Sequence[dict[str, np.ndarray]], scheme: ClassScheme) -> list[dict[str, np.ndarray]]:
        """Return the tables of several events: their particles are measured together."""
        if any(name not in event for event in events for name in self.requires):
            return super().of_events(events, scheme)
        try:
            return self._tables(events, scheme)
        except UserError:  # raised again by the event that it is about, which the message names
            return super().of_events(events, scheme)

    def _tables(self, events: Sequence[Mapping[str, np.ndarray]], scheme: ClassScheme) -> list[dict[str, np.ndarray]]:
        images = [LabelledImage.from_products(event, scheme, self.instances) for event in events]
        found = reconstruct_events(images, self.containment_margin, self.class_bias, self.shower_response)
        return [
            {"particles": tables.particles, "interactions": tables.interactions, "track_dedx": tables.dedx}
            | _truth(event, image.instances, tables.particles)
            for event, image, tables in zip(events, images, found, strict=True)
        ]


def _truth(event: Mapping[str, np.ndarray], instances: np.ndarray, particles: np.ndarray) -> dict[str, np.ndarray]:
    if "instances_true" not in event:
        return {}
    truth = event.get("particles_true")
    added = {}
    if truth is None:
        truth = true_particles(None, event["instances_true"], event.get("semantics_true"), event["energies"])
        added["particles_true"] = truth
    matches = match_particles(instances, event["instances_true"], particles["particle"], truth["particle"])
    return added | dict(zip(("matches", "matches_true"), matches, strict=True))
