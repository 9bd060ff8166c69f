"""From the voxels and instances of events to their tables of particles, interactions and dE/dx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlreco.particles.columns import DEDX, INTERACTION, vectors_of
from mlreco.particles.directions import start_lines
from mlreco.particles.grouping import group_voxels
from mlreco.particles.image import LabelledImage
from mlreco.particles.interactions.finding import find_interactions
from mlreco.particles.interactions.measured import Measured
from mlreco.particles.interactions.origins import place_vertices
from mlreco.particles.joined import JoinedImages, interactions_of
from mlreco.particles.kinds import Kind, kinds_of
from mlreco.particles.landmarks import find_landmarks
from mlreco.particles.measures import (
    SHOWER_RESPONSE,
    check_shower_response,
    contain,
    dedx_table,
    describe_voxels,
    identify,
    interaction_table,
    measure_lines,
    measure_showers,
    relate,
)
from mlreco.particles.profiles import NEAR, STEP, dedx_profiles
from mlreco.particles.proximity import find_neighbours
from mlreco.particles.sharing import expected_energies, resolve_class_bias
from mlreco.particles.showers import direction_error, find_shower_starts
from mlreco.particles.skeleton import SMALLEST_GAP, find_lines
from mlreco.particles.starts import starting_lines
from mlreco.particles.stopping import stopping_likelihood
from mlreco.particles.trajectory import NODE_SPACING, follow
from mlreco.particles.walls import way_to_walls

LANDMARK_RADIUS = 0.65
"""Distance of landmarks, cm."""

NEIGHBOUR_REACH = 3.0
"""Particles this near may belong together, cm."""

USUAL_VOXEL = 0.3
"""Lengths are those of voxels up to this size, cm; for larger ones they are longer in proportion."""


@dataclass(frozen=True)
class EventParticles:
    """Tables of an event.

    Attributes:
        particles: (K,) structured, columns of `mlreco.particles.columns.particle_type`.
        interactions: (I,) structured, columns ``INTERACTION``.
        dedx: (B,) structured, columns ``DEDX``: the steps along tracks.
    """

    particles: np.ndarray
    interactions: np.ndarray
    dedx: np.ndarray


def reconstruct_particles(
    image: LabelledImage,
    containment_margin: float = 3.0,
    class_bias: Mapping[str, float] | None = None,
    shower_response: float = SHOWER_RESPONSE,
) -> EventParticles:
    """Measure the particles of one event. What cannot be known is NaN, or -1 in a column of integers.

    Args:
        image: the event.
        containment_margin: a particle is contained if all its voxels are farther than this from the walls, cm.
        class_bias: class name -> logarithm of the factor by which the odds of the class are too high in the scores of
            the image, 0 for the rest; None where they are not to be used: then, and for particles in true classes,
            ``expected_energy`` is ``energy``.
        shower_response: part of the energy of a contained shower that is in the voxels of its particle.

    Raises:
        UserError: arrays of the image do not fit together, a bias is no finite number, or the response no positive one.
    """
    return reconstruct_events([image], containment_margin, class_bias, shower_response)[0]


def reconstruct_events(
    images: Sequence[LabelledImage],
    containment_margin: float = 3.0,
    class_bias: Mapping[str, float] | None = None,
    shower_response: float = SHOWER_RESPONSE,
) -> list[EventParticles]:
    """Measure the particles of several events, each as if it were alone; faster than one after the other.

    Args:
        images: the events.
        containment_margin: as in `reconstruct_particles`.
        class_bias: as in `reconstruct_particles`.
        shower_response: as in `reconstruct_particles`.

    Raises:
        UserError: arrays of an image do not fit together, a bias is no finite number, or the response no positive one.
    """
    check_shower_response(shower_response)
    return [
        event
        for joined in JoinedImages.alike(images)
        for event in _reconstruct(
            joined, containment_margin, resolve_class_bias(class_bias, joined.scheme), shower_response
        )
    ]


def _reconstruct(
    images: JoinedImages, containment_margin: float, bias: np.ndarray | None, shower_response: float
) -> list[EventParticles]:
    voxels = group_voxels(
        images.coordinates, images.energies, images.instances, images.origins, images.voxel_size, images.voxels
    )
    table = describe_voxels(voxels, images)
    if not len(voxels):
        return [EventParticles(table, np.zeros(0, INTERACTION), np.zeros(0, DEDX)) for _ in images.voxels]
    kinds = kinds_of(table["semantic"], images.scheme)
    axes = vectors_of(table, "axis")
    coarser = max(1.0, voxels.voxel_size.max() / USUAL_VOXEL)
    landmarks = find_landmarks(voxels, axes, coarser * LANDMARK_RADIUS)
    lines = find_lines(landmarks, coarser * SMALLEST_GAP)
    trajectories = follow(voxels, landmarks, lines, axes, coarser * NODE_SPACING)
    profiles = dedx_profiles(voxels, trajectories, coarser * STEP, coarser * NEAR)
    stopping = stopping_likelihood(profiles, trajectories.lengths)
    showers = find_shower_starts(voxels, landmarks, lines, kinds == Kind.SHOWER)
    proximity = find_neighbours(voxels, landmarks, NEIGHBOUR_REACH)
    shower_errors = direction_error(table["energy"])
    grouping = find_interactions(
        Measured(
            voxels.events,
            kinds,
            table["voxels"],
            table["energy"],
            trajectories,
            stopping.sense(),
            showers,
            shower_errors,
            proximity,
            voxels.positions,
            interactions_of(images, voxels),
        )
    )
    assigned, backward = np.isfinite(table["margin"]), grouping.backward
    first = start_lines(voxels, trajectories, backward, proximity, assigned, NEAR)
    starts = starting_lines(
        kinds, backward, first, trajectories, stopping, showers, shower_errors, float(voxels.voxel_size.max())
    )
    relations = place_vertices(grouping, kinds, voxels.events, starts, assigned)
    relate(table, relations, proximity)
    table["expected_energy"] = table["energy"]
    if bias is not None and images.scores is not None:
        parents = np.where(images.in_true_classes[voxels.events], -1, relations.parent)
        table["expected_energy"] = expected_energies(voxels, parents, table["semantic"], images.scores, bias)
    low, high = (corners[voxels.events] for corners in images.corners())
    walls = way_to_walls(trajectories, low, high, voxels.voxel_size)
    measure_lines(table, kinds, voxels, trajectories, profiles, relations, stopping, walls, first)
    measure_showers(table, kinds, showers, relations)
    contain(table, voxels, images, containment_margin)
    identify(table, kinds, shower_response)
    steps, tracks = dedx_table(table, kinds, profiles, trajectories, relations)
    edges = np.arange(1, len(images.voxels))
    columns = (
        np.split(table, voxels.event_starts[1:-1]),
        np.split(interaction_table(table, relations), np.searchsorted(relations.events, edges)),
        np.split(steps, np.searchsorted(tracks, voxels.event_starts[1:-1])),
    )
    return [EventParticles(*tables) for tables in zip(*columns, strict=True)]
