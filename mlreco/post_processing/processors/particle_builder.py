"""Post-processor ``particle_builder``: the particle table of an event as products."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from mlreco.post_processing.particles import ParticleTable, build_particles
from mlreco.post_processing.processor import PostProcessor
from mlreco.semantics import ClassScheme


class ParticleBuilder(PostProcessor):
    """Adds ``particle_<column>`` for every column of ``ParticleTable``, one row a fragment; floats as float32.

    Args:
        fragments: product that holds the fragments.
    """

    def __init__(self, fragments: str = "fragments") -> None:
        self.fragments = fragments
        self.requires = ("coordinates", "energies", "semantics", fragments)
        self.provides = tuple(f"particle_{column}" for column in ParticleTable.__dataclass_fields__)

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the columns of the particle table of an event."""
        arrays = (event[name] for name in self.requires)
        table = build_particles(*arrays, event.get("margins"), event.get("seediness"))
        return {f"particle_{column}": _small(values) for column, values in asdict(table).items()}


def _small(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype == np.float64 else values
