"""Events that are measured together: one call for the particles of a batch costs little more than for those of one."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.image import LabelledImage
from mlreco.semantics import ClassScheme

_OF_VOXELS = ("semantics", "instances", "energies", "scores", "margins", "seediness")


@dataclass(frozen=True)
class JoinedImages:
    """The voxels of E events, event after event, N in all; attributes are None where images are without.

    Attributes:
        scheme: the numbering of the classes.
        voxel_size: edges of a voxel, cm.
        origins: (E, 3) corner of voxel (0, 0, 0) of each event, cm.
        shapes: (E, 3) number of voxels along each axis.
        voxels: (E,) how many voxels each event has.
        in_true_classes: (E,) bool, whether the particles were made in true classes.
        coordinates: (N, 3) voxel numbers.
        semantics: (N,) class numbers.
        instances: (N,) number of the particle of each voxel in its event, -1 for none.
        energies: (N,) MeV.
        scores: (N, C) probabilities of the classes.
        margins: (N,) margins of the network.
        seediness: (N,) seediness of the network.
        confidences: of each event, those in its particles number 0, 1, 2, ...
        interactions: of each event, the numbers of the interactions of its particles; -1 for none.
    """

    scheme: ClassScheme
    voxel_size: tuple[float, float, float]
    origins: np.ndarray
    shapes: np.ndarray | None
    voxels: np.ndarray
    in_true_classes: np.ndarray
    coordinates: np.ndarray
    semantics: np.ndarray
    instances: np.ndarray
    energies: np.ndarray | None
    scores: np.ndarray | None
    margins: np.ndarray | None
    seediness: np.ndarray | None
    confidences: Sequence[np.ndarray] | None
    interactions: Sequence[np.ndarray] | None

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest corners of the images, (E, 3) cm; NaN where their shapes are not known."""
        if self.shapes is None:
            return np.full_like(self.origins, np.nan), np.full_like(self.origins, np.nan)
        return self.origins, self.origins + self.shapes * np.asarray(self.voxel_size, np.float64)

    @classmethod
    def alike(cls, images: Sequence[LabelledImage]) -> Iterator[JoinedImages]:
        """Join images with voxels of one size that tell the same things, in their order.

        Raises:
            UserError: arrays of an image do not fit together.
        """
        for _, members in itertools.groupby(images, _what_is_told):
            yield cls._join(list(members))

    @classmethod
    def _join(cls, images: Sequence[LabelledImage]) -> JoinedImages:
        coordinates = [np.asarray(image.coordinates).reshape(-1, 3) for image in images]
        voxels = np.array([len(rows) for rows in coordinates])
        first = images[0]
        told = {
            name: [np.asarray(getattr(image, name)) for image in images]
            for name in (*_OF_VOXELS, "confidences", "interactions")
            if getattr(first, name) is not None
        }
        for name in _OF_VOXELS:
            if any(len(rows) != count for rows, count in zip(told.get(name, ()), voxels, strict=False)):
                raise UserError(f"coordinates and {name} of an event must have the same number of rows")
        joined: dict[str, Any] = {name: np.concatenate(told[name]) if name in told else None for name in _OF_VOXELS}
        return cls(
            first.scheme,
            first.voxel_size,
            np.array([image.origin for image in images], np.float64),
            None if first.shape is None else np.array([image.shape for image in images]),
            voxels,
            np.array([image.in_true_classes for image in images]),
            np.concatenate(coordinates),
            confidences=told.get("confidences"),
            interactions=told.get("interactions"),
            **joined,
        )


def _what_is_told(image: LabelledImage) -> Hashable:
    absent = [field.name for field in fields(image) if getattr(image, field.name) is None]
    return image.scheme.name, tuple(image.voxel_size), *absent


def of_particles(told: Sequence[np.ndarray], voxels: ParticleVoxels) -> tuple[np.ndarray, np.ndarray]:
    """Return what is told of each particle, (K,), and whether anything is, (K,) bool.

    Args:
        told: of each event, (P,) what is told of its particles number 0, 1, 2, ...
        voxels: K particles.
    """
    lengths, events = np.array([len(values) for values in told]), voxels.events
    known = voxels.numbers < lengths[events]
    first = np.cumsum(lengths) - lengths
    place = np.where(known, first[events] + voxels.numbers, 0)
    values = np.concatenate(told)
    return values[place] if len(values) else np.zeros(len(place), values.dtype), known


def interactions_of(images: JoinedImages, voxels: ParticleVoxels) -> np.ndarray | None:
    """Return the interaction in which a stage has put each particle, (K,) int64; None where none has.

    Interactions of different events have different numbers.

    Args:
        images: the events.
        voxels: their particles.

    Raises:
        UserError: there are more particles in an event than interactions are told for.
    """
    if images.interactions is None:
        return None
    values, known = of_particles(images.interactions, voxels)
    if not known.all():
        event = voxels.events[~known][0]
        highest, rows = voxels.numbers[voxels.events == event][-1], len(images.interactions[event])
        raise UserError(f"particle {highest} has no row in the interactions of {rows} particles")
    values = values.astype(np.int64)
    return np.where(values >= 0, voxels.events * (values.max(initial=0) + 1) + values, -1)
