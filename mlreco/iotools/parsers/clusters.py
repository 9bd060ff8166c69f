"""Instance labels: one row a voxel, with the instance it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.interface import ClusterVoxels, flat_index, unflatten
from mlreco.iotools.parsers.particles import group_numbers, interaction_numbers, particle_types, primary_flags
from mlreco.iotools.parsers.sharing import precedence_ranks, set_classes, share_out
from mlreco.iotools.parsers.translation import translated_classes
from mlreco.semantics import UNKNOWN, ClassScheme, class_scheme
from mlreco.voxels import CLUSTER_COLUMNS, EventVoxels

LABELS = np.float64
"""Type of a table of labels: float32 holds no integers above 2^24 exactly."""


def parse_cluster3d(
    cluster_event: ClusterVoxels,
    particle_event: np.ndarray | None = None,
    particle_mpv_event: np.ndarray | None = None,
    sparse_semantics_event: EventVoxels | None = None,
    sparse_value_event: EventVoxels | None = None,
    add_particle_info: bool = False,
    clean_data: bool = False,
    precedence: Sequence[str | int] | None = None,
    class_scheme: str = "pilarnet",
) -> EventVoxels:
    """Label voxels with the number of their set; with ``add_particle_info`` or ``clean_data`` as the full table.

    Args:
        cluster_event: voxel sets.
        particle_event: particle i describes set i.
        particle_mpv_event: taken for compatibility; the tables here have no column made from it.
        sparse_semantics_event: class of every voxel of the image.
        sparse_value_event: energy of every voxel of the image.
        add_particle_info: give the columns of ``parse_cluster3d_clean_full``.
        clean_data: the same, since cleaning needs the image.
        precedence: see ``parse_cluster3d_clean_full``.
        class_scheme: see ``parse_cluster3d_clean_full``.

    Returns:
        Columns ``value, cluster`` in float64, one row for every voxel that is in a set. A voxel of several sets belongs
        to the one with the larger deposit there, then to the lower number; its value is that deposit, or that of
        ``sparse_value_event``.
    """
    if add_particle_info or clean_data:
        if sparse_semantics_event is None:
            raise UserError("parse_cluster3d with 'add_particle_info' or 'clean_data' needs 'sparse_semantics_event'")
        return parse_cluster3d_clean_full(
            cluster_event,
            particle_event,
            particle_mpv_event,
            sparse_semantics_event,
            sparse_value_event,
            precedence,
            class_scheme,
        )
    meta = cluster_event.meta
    voxels, owners, values = share_out(
        flat_index(cluster_event.coordinates, meta.shape),
        cluster_event.sets,
        cluster_event.values,
        np.zeros(cluster_event.num_sets, dtype=np.int64),
    )
    if sparse_value_event is not None:
        values = _look_up(voxels, sparse_value_event, values)
    features = np.stack([values.astype(LABELS), owners.astype(LABELS)], axis=1)
    return EventVoxels(unflatten(voxels, meta.shape), features, ("value", "cluster"), meta)


def parse_cluster3d_clean_full(
    cluster_event: ClusterVoxels,
    particle_event: np.ndarray | None = None,
    particle_mpv_event: np.ndarray | None = None,
    sparse_semantics_event: EventVoxels | None = None,
    sparse_value_event: EventVoxels | None = None,
    precedence: Sequence[str | int] | None = None,
    class_scheme: str = "pilarnet",
    image_scheme: str | None = None,
) -> EventVoxels:
    """Label every voxel of the image with instance, particle and class.

    The rows are exactly those of ``sparse_semantics_event``: voxels of sets that are not in the image are left out, and
    voxels of the image in no set have the instance -1. The class is always the image's, so that an instance may
    hold voxels of several classes. A voxel of several sets belongs to the set whose class (the most frequent among
    its voxels) comes first in ``precedence``, then to the one with the larger deposit there, then to the lower number.

    Args:
        cluster_event: voxel sets.
        particle_event: particle i describes set i. One set more than particles holds energy that belongs to no
            particle: its voxels have the instance -1. Without particles their columns are -1.
        particle_mpv_event: taken for compatibility; the table has no column made from it.
        sparse_semantics_event: class of every voxel of the image (required).
        sparse_value_event: energy of every voxel; without it, the deposit of the instance (0 without instance).
        precedence: all class names or numbers in descending precedence. Default: the field's, track before Michel
            before shower before delta before low energy; in the ``pilarnet`` scheme HIP, MIP, Michel, Shower, Delta.
        class_scheme: numbering of the semantic classes.
        image_scheme: that of ``sparse_semantics_event``, where it is another: the classes are translated, tracks by
            their particles.

    Returns:
        Columns ``mlreco.voxels.CLUSTER_COLUMNS`` in float64, which holds ids exactly; -1 where unknown. The instance is
        the number of the set, the group is the particle's ``mcst_index`` and the interaction its ``mct_index`` where
        the file has no better field.

    Raises:
        UserError: no image of classes, images of different shape, or particles that cannot belong to the sets.
    """
    if sparse_semantics_event is None:
        raise UserError("parse_cluster3d_clean_full needs 'sparse_semantics_event'")
    image = sparse_semantics_event
    if image.meta.shape != cluster_event.meta.shape:
        raise UserError(f"sets of an image {cluster_event.meta.shape} with classes of an image {image.meta.shape}")
    particles, unassigned = _match_particles(cluster_event, particle_event)
    own, wanted = _scheme(image_scheme or class_scheme), _scheme(class_scheme)
    owners, deposits = _owners(image, cluster_event, precedence_ranks(own, precedence))
    if unassigned is not None:
        owners[owners == unassigned] = UNKNOWN
    if sparse_value_event is not None:
        deposits = _look_up(flat_index(image.coordinates, image.meta.shape), sparse_value_event, deposits)
    features = np.full((len(image), len(CLUSTER_COLUMNS)), UNKNOWN, dtype=LABELS)
    table = dict(zip(CLUSTER_COLUMNS, features.T, strict=True))
    table["value"][:] = deposits
    table["cluster"][:] = owners
    classes = image.features[:, 0].astype(np.int64)
    table["semantic"][:] = classes if own == wanted else _translated(classes, own, wanted, owners, particles)
    if particles is not None:
        _put_particles(table, owners, particles)
    return EventVoxels(image.coordinates, features, CLUSTER_COLUMNS, image.meta)


def _put_particles(table: dict[str, np.ndarray], owners: np.ndarray, particles: np.ndarray) -> None:
    """Fill in the columns that particles tell of their voxels.

    Args:
        table: name of a column -> (N,).
        owners: (N,) row of each voxel's particle, -1 for none.
        particles: the rows.
    """
    known = owners >= 0
    for name, of_particles in (
        ("group", group_numbers),
        ("interaction", interaction_numbers),
        ("particle_type", particle_types),
        ("primary", primary_flags),
    ):
        table[name][known] = of_particles(particles)[owners[known]]


_scheme = class_scheme


def _translated(
    classes: np.ndarray, own: ClassScheme, wanted: ClassScheme, owners: np.ndarray, particles: np.ndarray | None
) -> np.ndarray:
    """Return classes in the wanted numbering."""
    codes = np.zeros(0 if particles is None else len(particles), np.int64)
    if particles is not None and "pdg" in (particles.dtype.names or ()):
        codes = particles["pdg"].astype(np.int64)
    return translated_classes(classes, own, wanted, np.append(codes, 0)[np.where(owners < len(codes), owners, -1)])


def _owners(image: EventVoxels, clusters: ClusterVoxels, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the set of each voxel of the image, (N,) int64, -1 for none, and its deposit there, (N,) float32.

    Args:
        image: class of every voxel.
        clusters: the sets.
        ranks: of the classes; of several sets in a voxel the one whose class has the lowest rank has it.
    """
    voxels = flat_index(image.coordinates, image.meta.shape)
    rows, inside = _rows_of(flat_index(clusters.coordinates, image.meta.shape), voxels)
    rows, sets = rows[inside], clusters.sets[inside]
    classes = set_classes(image.features[rows, 0].astype(np.int64), sets, clusters.num_sets, ranks)
    winners, winner_sets, values = share_out(rows, sets, clusters.values[inside], ranks[classes])
    owners = np.full(len(voxels), UNKNOWN, dtype=np.int64)
    deposits = np.zeros(len(voxels), dtype=np.float32)
    owners[winners], deposits[winners] = winner_sets, values
    return owners, deposits


def _match_particles(
    cluster_event: ClusterVoxels, particles: np.ndarray | None
) -> tuple[np.ndarray | None, int | None]:
    """Return the particles of the sets and the number of the set that belongs to none of them."""
    if particles is None:
        return None, None
    if len(particles) == cluster_event.num_sets - 1:
        return particles, len(particles)
    if len(particles) != cluster_event.num_sets and len(cluster_event):
        raise UserError(
            f"{len(particles)} particles for {cluster_event.num_sets} voxel sets, where particle i describes set i; "
            "the products do not belong together"
        )
    return particles, None


def _rows_of(wanted: np.ndarray, sorted_voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each wanted voxel and whether it is there at all."""
    if not len(sorted_voxels):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    rows = np.minimum(np.searchsorted(sorted_voxels, wanted), len(sorted_voxels) - 1)
    return rows, sorted_voxels[rows] == wanted


def _look_up(voxels: np.ndarray, image: EventVoxels, default: np.ndarray) -> np.ndarray:
    """Return the image's first feature at the voxels, the default where it has none."""
    there = flat_index(image.coordinates, image.meta.shape)
    if np.array_equal(there, voxels):
        return image.features[:, 0]
    rows, inside = _rows_of(voxels, there)
    values = default.copy()
    values[inside] = image.features[rows[inside], 0]
    return values
