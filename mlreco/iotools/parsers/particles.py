"""Particles: the table of true particles and what label tables take from it."""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.ids import EXACT_IN_FLOAT64, known_ids
from mlreco.iotools.interface import ClusterVoxels
from mlreco.iotools.larcv3.layout import PARTICLE_POINTS
from mlreco.semantics import UNKNOWN
from mlreco.voxels import EventVoxels, ImageMeta

PARTICLE_TYPES = {22: 0, 11: 1, 13: 2, 211: 3, 2212: 4}
"""Magnitude of the PDG code to the field's particle type: photon, electron, muon, charged pion, proton."""


def parse_particles(
    particle_event: np.ndarray,
    cluster_event: ClusterVoxels | None = None,
    sparse_event: EventVoxels | None = None,
    voxel_coordinates: bool = True,
) -> np.ndarray:
    """Return the particles of an event.

    Args:
        particle_event: structured array, one row a particle.
        cluster_event: voxel sets of the same event, for their image geometry.
        sparse_event: an image of the same event, for its geometry.
        voxel_coordinates: with one of the two above, give positions in voxels instead of cm.

    Returns:
        The rows of the particle table; positions in voxels (fractional) where a geometry was given, else in cm.
    """
    source = cluster_event if cluster_event is not None else sparse_event
    if source is None or not voxel_coordinates:
        return particle_event
    return _in_voxels(particle_event, source.meta)


def particle_types(particles: np.ndarray) -> np.ndarray:
    """Return the particle type of each row, (P,) int64: 0 photon, 1 e, 2 mu, 3 pi, 4 p, -1 other or unknown."""
    types = np.full(len(particles), UNKNOWN, dtype=np.int64)
    if "pdg" not in _names(particles):
        return types
    magnitude = np.abs(particles["pdg"].astype(np.int64))
    for pdg, number in PARTICLE_TYPES.items():
        types[magnitude == pdg] = number
    return types


def primary_flags(particles: np.ndarray) -> np.ndarray:
    """Return 1 for primaries, 0 for others, -1 where the file does not tell, (P,) int64.

    A particle is primary if its process is ``primary`` or it has no parent track (id 0). A particle without a process
    comes from a file that holds no ancestry: not known.
    """
    if "process" not in _names(particles):
        return np.full(len(particles), UNKNOWN, dtype=np.int64)
    process = particles["process"]
    primary = np.char.lower(process) == b"primary"
    if "parent_trackid" in _names(particles):
        primary |= particles["parent_trackid"] == 0
    return np.where(process == b"", UNKNOWN, primary.astype(np.int64))


def group_numbers(particles: np.ndarray) -> np.ndarray:
    """Return the group of each particle, (P,) int64; -1 unknown.

    From ``group_id`` where the file has it. LArCV3's particles and LArCV2's of 2018 do not; files of this project keep
    the group in ``mcst_index``.

    Raises:
        UserError: an id that cannot be kept exactly.
    """
    return _index_field(particles, "group_id", "mcst_index")


def interaction_numbers(particles: np.ndarray) -> np.ndarray:
    """Return the interaction of each particle, (P,) int64; -1 unknown. From ``interaction_id`` or ``mct_index``.

    Raises:
        UserError: an id that cannot be kept exactly.
    """
    return _index_field(particles, "interaction_id", "mct_index")


def parent_rows(particles: np.ndarray) -> np.ndarray:
    """Return the row of the particle out of which each came, (P,) int64; -1 for none and where that is not known.

    From ``parent_id``, the ``id`` of the parent, where the file has it (LArCV2 writes a primary's own), else the row
    whose ``trackid`` is ``parent_trackid``; track 0 is none.

    Raises:
        UserError: an id that cannot be kept exactly.
    """
    names = ("id", "parent_id", "trackid", "parent_trackid")
    ids, parents, tracks, parent_tracks = (_index_field(particles, name, name) for name in names)
    by_id = _rows_with(ids, parents)
    by_track = _rows_with(tracks, np.where(parent_tracks > 0, parent_tracks, UNKNOWN))
    found = np.where(by_id >= 0, by_id, by_track)
    return np.where(found == np.arange(len(particles)), UNKNOWN, found)


def _rows_with(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the first row with each wanted id; -1 for none, and for an id below 0."""
    if not len(ids):
        return np.full(len(wanted), UNKNOWN, dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    place = order[np.searchsorted(ids[order], wanted).clip(max=len(ids) - 1)]
    return np.where((ids[place] == wanted) & (wanted >= 0), place, UNKNOWN)


def _index_field(particles: np.ndarray, name: str, substitute: str) -> np.ndarray:
    field = name if name in _names(particles) else substitute
    if field not in _names(particles):
        return np.full(len(particles), UNKNOWN, dtype=np.int64)
    try:
        numbers = known_ids(particles[field], field)
    except ValueError as error:
        raise UserError(f"the particle table: {error}") from None
    if len(numbers) and int(numbers.max()) > EXACT_IN_FLOAT64:
        raise UserError(
            f"the particle table: '{field}' holds the id {int(numbers.max())}; a table of labels keeps ids up to "
            f"{EXACT_IN_FLOAT64} exactly"
        )
    return numbers


def _names(particles: np.ndarray) -> tuple[str, ...]:
    return particles.dtype.names or ()


def _in_voxels(particles: np.ndarray, meta: ImageMeta) -> np.ndarray:
    converted = particles.copy()
    for point in set(PARTICLE_POINTS) & set(_names(particles)):
        for axis, origin, size in zip("xyz", meta.origin, meta.voxel_size, strict=True):
            converted[point][axis] = (particles[point][axis] - origin) / size
    return converted
