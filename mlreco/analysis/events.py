"""Events of an output file with their tables of particles, which are computed if the file does not have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.post_processing.predicted import predicted_instances
from mlreco.semantics import ClassScheme, class_scheme

TABLES = ("particles", "interactions", "track_dedx")
TRUTH = ("particles_true", "matches", "matches_true")
_VOXELS = ("coordinates", "energies", "semantics")
_OF_INSTANCES = ("instance_confidences", "instance_interactions")
_OPTIONAL = ("semantic_scores", *_OF_INSTANCES, "margins", "seediness", "semantics_true", "instances_true")
_GEOMETRY = ("image_origin", "voxel_size", "image_shape")


def scheme_of(reader: HDF5Reader) -> ClassScheme:
    """Return the numbering of the classes of a file.

    Raises:
        UserError: the file does not tell.
    """
    name = reader.info.get("class_scheme")
    if name is None:
        raise UserError(f"{reader.path}: does not tell its class scheme; it is not an output of mlreco")
    return class_scheme(str(name))


def events_with_particles(reader: HDF5Reader, more: Sequence[str] = ()) -> Iterator[dict[str, np.ndarray]]:
    """Yield for each event the products ``TABLES``, those of ``TRUTH`` where there are true instances, and others.

    Args:
        reader: an output file.
        more: names of further products, of which those that the file has are given too.

    Raises:
        UserError: the file has neither particles nor what they are made of.
    """
    scheme = scheme_of(reader)
    further = [name for name in more if name in reader.products]
    if set(TABLES) <= set(reader.products):
        wanted = [*TABLES, *(name for name in TRUTH if name in reader.products), *further]
        for index in range(len(reader)):
            yield reader.event(index, dict.fromkeys(wanted))
        return
    instances = predicted_instances(reader.products)
    missing = [name for name in (*_VOXELS, instances) if name not in reader.products]
    if missing:
        raise UserError(f"{reader.path}: no product '{missing[0]}', without which there are no particles")
    optional = [name for name in (*_OPTIONAL, *_GEOMETRY, "particles_true", "event_id") if name in reader.products]
    builder = ParticleBuilder()
    for index in range(len(reader)):
        event = reader.event(index, dict.fromkeys([*_VOXELS, instances, *optional, *further]))
        tables = builder(event, scheme)
        kept = {name: event[name] for name in (*further, "particles_true") if name in event}
        yield kept | tables
