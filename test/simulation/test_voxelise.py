import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import convolve1d

from mlreco.simulation.voxelise import add_up, cut_at_planes, gaussian_weights, smear

SIZE = 5
PLACES = st.floats(-1.5, SIZE + 1.5, allow_subnormal=False) | st.integers(-1, SIZE + 1).map(float)


def by_points(start, end, energy, points=20_000):
    """Energies of voxels by putting the energy into many points along the line."""
    along = (np.arange(points) + 0.5) / points
    places = np.floor(start + along[:, None] * (end - start)).astype(int)
    image = np.zeros((SIZE,) * 3)
    inside = ((places >= 0) & (places < SIZE)).all(axis=1)
    np.add.at(image, tuple(places[inside].T), energy / points)
    return image


@given(hnp.arrays(float, (2, 3), elements=PLACES))
def test_a_line_is_cut_where_points_along_it_fall(ends):
    start, end = ends
    lines, voxels, shares = cut_at_planes(start[None], end[None], np.array([2.0]), SIZE)
    image = np.bincount(voxels, shares, SIZE**3).reshape((SIZE,) * 3)
    assert (lines == 0).all() and (shares > 0).all()
    np.testing.assert_allclose(image, by_points(start, end, 2.0), atol=2.0 * 4 / 20_000 * 3)


def test_many_lines_grow_the_arrays():
    starts = np.zeros((30, 3)) + 0.5
    ends = np.add(starts, (40.0, 0, 0))
    lines, voxels, shares = cut_at_planes(starts, ends, np.ones(30), 64)
    assert len(lines) == 30 * 41
    np.testing.assert_allclose(np.bincount(lines, shares), 1)
    assert (np.bincount(voxels)[[0, 64 * 64]] == 30).all()


def test_a_point_is_in_its_voxel_and_outside_is_left_out():
    points = np.array([[1.5, 2.5, 3.5], [-0.1, 1, 1], [SIZE, 1, 1]])
    lines, voxels, shares = cut_at_planes(points, points, np.array([1.0, 2.0, 3.0]), SIZE)
    assert lines.tolist() == [0] and voxels.tolist() == [(1 * SIZE + 2) * SIZE + 3] and shares.tolist() == [1.0]


ROWS = st.lists(st.tuples(st.integers(0, SIZE**3 - 1), st.integers(0, 3), st.floats(0.01, 10)), max_size=30)


def columns(rows):
    voxels, owners, energies = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(voxels, np.int64), np.array(owners, np.int64), np.array(energies, float)


@given(ROWS)
def test_energies_are_added_by_voxel_and_owner(rows):
    expected = {}
    for voxel, owner, energy in rows:
        expected[voxel, owner] = expected.get((voxel, owner), 0) + energy
    voxels, owners, sums = add_up(*columns(rows), 4)
    assert list(zip(voxels.tolist(), owners.tolist(), strict=True)) == sorted(expected)
    np.testing.assert_allclose(sums, [expected[key] for key in sorted(expected)])


@given(ROWS, st.sampled_from([0.3, 0.49, 1.1]))
def test_smearing_is_a_convolution_of_every_owners_image(rows, width):
    voxels, owners, energies = add_up(*columns(rows), 4)
    images = np.zeros((4, SIZE, SIZE, SIZE))
    images.reshape(4, -1)[owners, voxels] = energies
    for axis in (1, 2, 3):
        images = convolve1d(images, gaussian_weights(width), axis, mode="constant")
    smeared = np.zeros((4, SIZE**3))
    voxels, owners, energies = smear(voxels, owners, energies, 4, SIZE, width)
    smeared[owners, voxels] = energies
    np.testing.assert_allclose(smeared.reshape(images.shape), images, atol=1e-12)


@pytest.mark.parametrize(("width", "length"), [(0.1, 1), (0.49, 3), (1.0, 7)])
def test_weights_are_those_of_a_gaussian_integrated_over_voxels(width, length):
    weights = gaussian_weights(width)
    assert len(weights) == length and weights.sum() == pytest.approx(1)
    middle = math.erf(0.5 / (width * math.sqrt(2)))
    assert weights[length // 2] == pytest.approx(middle, abs=0.003)
