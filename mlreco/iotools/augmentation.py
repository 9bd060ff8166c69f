"""Random symmetries of the cube and charge jitter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlreco.course import Course
from mlreco.errors import UserError, nearest
from mlreco.iotools.interface import ClusterVoxels, flat_index
from mlreco.iotools.larcv3.layout import PARTICLE_MOMENTUM, PARTICLE_POINTS
from mlreco.voxels import EventVoxels, ImageMeta

_OPTIONS = ("flip", "permute", "charge_scale", "charge_jitter", "charge_keys")


@dataclass(frozen=True)
class CubeSymmetry:
    """One of the 48 symmetries of a cube: first flips, then a permutation of the axes.

    Attributes:
        flips: whether x, y, z is mirrored.
        axes: the old axis that becomes the new x, y, z.
    """

    flips: tuple[bool, bool, bool]
    axes: tuple[int, int, int]

    def voxels(self, coordinates: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        """Move (N, 3) voxel numbers inside an image of ``shape`` (before the permutation)."""
        mirrored = np.where(self.flips, np.asarray(shape, dtype=coordinates.dtype) - 1 - coordinates, coordinates)
        return mirrored[:, self.axes]

    def meta(self, meta: ImageMeta) -> ImageMeta:
        """Permute the geometry of an image; flips mirror about its centre and leave it in place."""
        x, y, z = self.axes
        return ImageMeta(
            (meta.shape[x], meta.shape[y], meta.shape[z]),
            (meta.origin[x], meta.origin[y], meta.origin[z]),
            (meta.voxel_size[x], meta.voxel_size[y], meta.voxel_size[z]),
        )

    def particles(self, particles: np.ndarray, meta: ImageMeta) -> np.ndarray:
        """Move positions (cm) and momenta of a particle table; ``meta`` is the image before the symmetry."""
        moved = particles.copy()
        for new, old in enumerate(self.axes):
            low, edge = meta.origin[old], meta.shape[old] * meta.voxel_size[old]
            for point in set(PARTICLE_POINTS) & set(particles.dtype.names or ()):
                position = particles[point]["xyz"[old]]
                moved[point]["xyz"[new]] = 2 * low + edge - position if self.flips[old] else position
            if set(PARTICLE_MOMENTUM) <= set(particles.dtype.names or ()):
                momentum = particles[PARTICLE_MOMENTUM[old]]
                moved[PARTICLE_MOMENTUM[new]] = -momentum if self.flips[old] else momentum
        return moved


class Augmenter:
    """Changes events at random; the same generator state gives the same change.

    Args:
        flip: mirror each axis with probability 1/2.
        permute: permute the axes at random.
        charge_scale: width of the Gaussian of log(factor) common to all voxels of an event, 0 for none; a number, or
            ``[[iteration, number], ...]`` (:class:`mlreco.course.Course`).
        charge_jitter: width of the Gaussian of log(factor) of each voxel, likewise.
        charge_keys: schema keys whose features are charges.

    Raises:
        UserError: a negative width, or none.
    """

    def __init__(
        self,
        flip: bool = False,
        permute: bool = False,
        charge_scale: Any = 0.0,
        charge_jitter: Any = 0.0,
        charge_keys: Sequence[str] = ("input_data",),
    ) -> None:
        self.flip, self.permute = flip, permute
        self.charge_scale, self.charge_jitter = (
            _width("charge_scale", charge_scale),
            _width("charge_jitter", charge_jitter),
        )
        self.charge_keys = (charge_keys,) if isinstance(charge_keys, str) else tuple(charge_keys)

    def draw(self, rng: np.random.Generator) -> CubeSymmetry:
        """Draw a symmetry, evenly among those that the options allow."""
        x, y, z = (rng.random(3) < 0.5).tolist() if self.flip else (False, False, False)
        a, b, c = rng.permutation(3).tolist() if self.permute else (0, 1, 2)
        return CubeSymmetry((x, y, z), (a, b, c))

    def transform(self, products: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Apply one random symmetry to all products of an event, before they are parsed.

        Args:
            products: images, voxel sets and particle tables (positions in cm) by name.
            rng: generator of this event.

        Raises:
            UserError: there are particles but no product with the geometry of the image.
        """
        if not (self.flip or self.permute):
            return dict(products)
        symmetry = self.draw(rng)
        metas = [value.meta for value in products.values() if isinstance(value, (EventVoxels, ClusterVoxels))]
        moved: dict[str, Any] = {}
        for name, value in products.items():
            if isinstance(value, EventVoxels):
                moved[name] = _move_image(value, symmetry)
            elif isinstance(value, ClusterVoxels):
                moved[name] = _move_sets(value, symmetry)
            elif metas:
                moved[name] = symmetry.particles(value, metas[0])
            else:
                raise UserError(
                    f"iotool.augment: '{name}' can only be moved together with a sparse3d or cluster3d product"
                )
        return moved

    def jitter(self, event: Mapping[str, Any], rng: np.random.Generator, iteration: int = 0) -> dict[str, Any]:
        """Multiply the charges of an event by random factors; returns the blobs by schema key.

        Args:
            event: the blobs.
            rng: generator of this event.
            iteration: of the training.

        Raises:
            UserError: a key of ``charge_keys`` is not an image of the event.
        """
        jittered = dict(event)
        common, single = float(self.charge_scale.at(iteration)), float(self.charge_jitter.at(iteration))
        if not (common or single):
            return jittered
        scale = np.exp(common * rng.standard_normal())
        for key in self.charge_keys:
            blob = event.get(key)
            if not isinstance(blob, EventVoxels):
                voxel_keys = [name for name, value in event.items() if isinstance(value, EventVoxels)]
                raise UserError(f"iotool.augment.charge_keys: no image '{key}' in the schema{nearest(key, voxel_keys)}")
            factors = scale * np.exp(single * rng.standard_normal(blob.features.shape))
            jittered[key] = replace(blob, features=(blob.features * factors).astype(blob.features.dtype))
        return jittered


def _width(name: str, value: Any) -> Course:
    try:
        course = Course.of(value)
    except ValueError as error:
        raise UserError(f"iotool.augment.{name}: {error}") from error
    if course.least < 0:
        raise UserError(f"iotool.augment.{name} must be 0 or more, not {value}")
    return course


def make_augmenter(config: Mapping[str, Any] | None) -> Augmenter | None:
    """Make the augmenter of an ``iotool.augment`` section, None without one.

    Raises:
        UserError: an unknown key or a value that makes no sense.
    """
    if not config:
        return None
    for key in config:
        if key not in _OPTIONS:
            raise UserError(f"iotool.augment: unknown key '{key}'{nearest(key, _OPTIONS)}")
    return Augmenter(**config)


def _move_image(image: EventVoxels, symmetry: CubeSymmetry) -> EventVoxels:
    meta = symmetry.meta(image.meta)
    coordinates = symmetry.voxels(image.coordinates, image.meta.shape)
    order = np.argsort(flat_index(coordinates, meta.shape))
    return EventVoxels(coordinates[order], image.features[order], image.columns, meta)


def _move_sets(clusters: ClusterVoxels, symmetry: CubeSymmetry) -> ClusterVoxels:
    meta = symmetry.meta(clusters.meta)
    coordinates = symmetry.voxels(clusters.coordinates, clusters.meta.shape)
    order = np.lexsort((flat_index(coordinates, meta.shape), clusters.sets))
    return ClusterVoxels(coordinates[order], clusters.values[order], clusters.sets[order], clusters.num_sets, meta)
