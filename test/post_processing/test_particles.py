import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.post_processing.particles import build_particles


@settings(max_examples=50, deadline=None)
@given(voxels=st.integers(1, 200), fragments=st.integers(1, 10), seed=st.integers(0, 10**6))
def test_against_a_loop_over_fragments(voxels, fragments, seed):
    rng = np.random.default_rng(seed)
    coordinates = rng.integers(0, 500, (voxels, 3))
    energies, margins, seediness = rng.random((3, voxels))
    semantics = rng.integers(-1, 3, voxels)
    labels = rng.integers(-1, fragments, voxels) * 3
    table = build_particles(coordinates, energies, semantics, labels, margins, seediness)
    assert table.fragment.tolist() == sorted(set(labels[labels >= 0].tolist()))
    for row, label in enumerate(table.fragment):
        members = labels == label
        points = coordinates[members].astype(float)
        assert table.voxels[row] == members.sum()
        assert table.energy[row] == pytest.approx(energies[members].sum())
        assert table.margin[row] == pytest.approx(margins[members].mean())
        assert table.seediness[row] == pytest.approx(seediness[members].mean())
        np.testing.assert_allclose(table.centroid[row], points.mean(0))
        values, counts = np.unique(semantics[members], return_counts=True)
        assert table.semantic[row] == values[counts.argmax()]
        singular = np.linalg.svd(points - points.mean(0), compute_uv=False)
        expected = np.zeros(3)
        expected[: len(singular)] = singular / np.sqrt(members.sum())
        np.testing.assert_allclose(table.spread[row], expected, atol=1e-5)
        along = (points - points.mean(0)) @ table.axis[row]
        assert along.std() == pytest.approx(table.spread[row, 0], abs=1e-5)
        assert table.length[row] == pytest.approx(np.ptp(along))


def test_straight_track():
    coordinates = np.array([[i, 2 * i, 5] for i in range(11)])
    table = build_particles(coordinates, np.ones(11), np.ones(11, int), np.zeros(11, int))
    np.testing.assert_allclose(table.axis, [[1 / 5**0.5, 2 / 5**0.5, 0]], atol=1e-12)
    assert table.length[0] == pytest.approx(10 * 5**0.5)
    assert table.energy[0] == 11
    assert np.isnan(table.margin[0])


def test_no_fragments():
    table = build_particles(np.zeros((2, 3)), np.ones(2), np.ones(2, int), np.full(2, -1))
    assert len(table) == 0
    assert table.axis.shape == (0, 3)
