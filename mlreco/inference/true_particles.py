"""The particle table of the input, as a product of the output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.parsers.particles import group_numbers, interaction_numbers, parent_rows, primary_flags
from mlreco.iotools.schema import read_schema

TRUE_PARTICLES = "true_particles"
"""Schema key of the particle table; a configuration need not name it."""


def with_true_particles(iotool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a section ``iotool`` whose schema also reads the particles that belong to its labels.

    The product is the one that a parser of the schema names as ``particle_event``, or the one beside the voxel sets:
    ``particle_pcluster`` for ``cluster3d_pcluster``. Without either the section is returned as it is.

    Raises:
        UserError: a mistake in the schema.
    """
    dataset = iotool.get("dataset") or {}
    schema = dataset.get("schema")
    if not schema or TRUE_PARTICLES in schema:
        return iotool
    names = [name for entry in read_schema(schema) for name in entry.product_names()]
    particles = [name for name in names if name.startswith("particle_")]
    sets = [name for name in names if name.startswith("cluster3d_")]
    if not particles and not sets:
        return iotool
    product = particles[0] if particles else "particle_" + sets[0].partition("_")[2]
    entry = {"parser": "parse_particles", "args": {"particle_event": product}}
    return {**iotool, "dataset": {**dataset, "schema": {**schema, TRUE_PARTICLES: entry}}}


def numbers_of(particles: np.ndarray) -> dict[str, np.ndarray]:
    """Return group, interaction, row of the parent and whether it is primary of each row, -1 where unknown."""
    found = {"primary": primary_flags(particles)}
    for name, numbers in (("group", group_numbers), ("interaction", interaction_numbers), ("parent", parent_rows)):
        try:
            found[name] = numbers(particles)
        except UserError:
            found[name] = np.full(len(particles), -1, np.int64)
    return found
