"""Geometries that cannot be used are refused, whatever number it is that is wrong."""

import numpy as np
import pytest

from mlreco.errors import UserError
from mlreco.iotools.geometry import image_geometry

SHAPE, ORIGIN, SIZE = (9, 7, 5), (-100.0, 2.0, 0.5), (0.3, 0.3, 0.4)


def geometry(shape=SHAPE, origin=ORIGIN, size=SIZE):
    return image_geometry(shape, origin, size, lambda text: UserError(f"f.h5: {text}"))


def test_a_sound_one_is_as_it_was_given():
    meta = geometry()
    assert (meta.shape, meta.origin, meta.voxel_size) == (SHAPE, ORIGIN, SIZE)
    assert geometry(size=(1e-8, 1.0, 1e5)).voxel_size == (1e-8, 1.0, 1e5)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("bad", [0.0, -0.3, 1e-320, 1e-10, 1e13, 1e300, np.inf, -np.inf, np.nan])
def test_voxels_without_a_volume(bad, axis):
    sizes = [*SIZE[:axis], bad, *SIZE[axis + 1 :]]
    with pytest.raises(UserError, match=r"f.h5: has an image with its origin at .* cm and voxels of"):
        geometry(size=sizes)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("bad", [1e13, -1e300, np.inf, -np.inf, np.nan])
def test_origins_that_are_nowhere(bad, axis):
    with pytest.raises(UserError, match=r"f.h5: has an image with its origin at"):
        geometry(origin=[*ORIGIN[:axis], bad, *ORIGIN[axis + 1 :]])


@pytest.mark.parametrize(
    "shape", [(0, 7, 5), (-1, 7, 5), (2**31, 1, 1), (2**31 - 1,) * 3, (2**63, 1, 1), (np.nan, 1, 1)]
)
def test_shapes_that_cannot_be_numbered(shape):
    with pytest.raises(UserError, match=r"f.h5: has an image of"):
        geometry(shape=shape)
