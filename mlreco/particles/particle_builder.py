"""Post-processor ``particle_builder``: the tables of particles and interactions of an event as products."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlreco.particles.image import LabelledImage
from mlreco.particles.matching import match_particles
from mlreco.particles.reconstruction import reconstruct_particles
from mlreco.particles.truth import true_particles
from mlreco.post_processing.processor import PostProcessor
from mlreco.semantics import ClassScheme


class ParticleBuilder(PostProcessor):
    """Adds ``particles``, ``interactions`` and ``track_dedx`` (:mod:`mlreco.particles.columns`).

    With true instances also ``particles_true`` (:mod:`mlreco.particles.truth`), where the event does not have it, and
    ``matches`` and ``matches_true``, a row for each row of the two tables (:mod:`mlreco.particles.matching`).

    Args:
        instances: product that holds the particle of each voxel; ``instances`` where a stage makes it, else
            ``fragments``.
        containment_margin: a particle is contained if its voxels are farther than this from the walls, cm.
    """

    def __init__(self, instances: str | None = None, containment_margin: float = 3.0) -> None:
        self.instances = instances
        self.containment_margin = containment_margin
        self.requires = ("coordinates", "energies", "semantics", *([instances] if instances else []))
        self.provides = ("particles", "interactions", "track_dedx")

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the tables of an event."""
        image = LabelledImage.from_products(event, scheme, self.instances)
        found = reconstruct_particles(image, self.containment_margin)
        tables = {"particles": found.particles, "interactions": found.interactions, "track_dedx": found.dedx}
        return tables | _truth(event, image.instances, found.particles)


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
