import itertools

import numpy as np
import pytest
from io_samples import clusters, event, image, particles

from mlreco.errors import UserError
from mlreco.iotools import Augmenter, flat_index
from mlreco.iotools.augmentation import CubeSymmetry, make_augmenter
from mlreco.voxels import ImageMeta

META = ImageMeta((9, 7, 5), (-1.0, 2.0, 0.5), (0.3, 0.4, 0.5))
SYMMETRIES = [
    CubeSymmetry(flips, axes)
    for flips in itertools.product([False, True], repeat=3)
    for axes in itertools.permutations(range(3))
]


class Fixed(Augmenter):
    """Applies one given symmetry."""

    def __init__(self, symmetry):
        super().__init__(flip=True)
        self.symmetry = symmetry

    def draw(self, rng):
        return self.symmetry


def centres(coordinates, meta):
    return np.array(meta.origin) + (coordinates + 0.5) * np.array(meta.voxel_size)


def mirror(points, symmetry):
    """The symmetry in space: mirrored at the middle of the image, then axes renamed."""
    middle = np.array(META.origin) + np.multiply(META.shape, META.voxel_size) / 2
    return np.where(symmetry.flips, 2 * middle - points, points)[:, symmetry.axes]


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_voxels_sets_and_particles_move_together(symmetry):
    rng = np.random.default_rng(0)
    products = {"a": image(rng, 50, META), "b": clusters(rng, [9, 0, 20], META), "c": particles(rng, 3)}
    moved = Fixed(symmetry).transform(products, rng)
    assert moved["a"].meta.shape == tuple(META.shape[axis] for axis in symmetry.axes)
    for name, values in (("a", lambda blob: blob.features[:, 0]), ("b", lambda blob: blob.values)):
        old, new = products[name], moved[name]
        expected = mirror(centres(old.coordinates, old.meta), symmetry)
        found = centres(new.coordinates, new.meta)
        match = lambda points, weights: sorted(zip(np.round(points, 6).tolist(), weights.tolist(), strict=True))  # noqa: E731
        assert match(found, values(new)) == match(expected, values(old))
    assert (np.diff(flat_index(moved["a"].coordinates, moved["a"].meta.shape)) > 0).all()
    for number in range(3):
        ids = flat_index(moved["b"].coordinates[moved["b"].sets == number], moved["b"].meta.shape)
        assert (np.diff(ids) > 0).all() and len(ids) == (9, 0, 20)[number]
    for point in ("vtx", "end_pt"):
        old = np.stack([products["c"][point][axis] for axis in "xyz"], axis=1)
        new = np.stack([moved["c"][point][axis] for axis in "xyz"], axis=1)
        np.testing.assert_allclose(new, mirror(old, symmetry), atol=1e-12)
    momentum = np.stack([products["c"][axis] for axis in ("px", "py", "pz")], axis=1)
    signs = np.where(symmetry.flips, -1, 1)
    expected = (momentum * signs)[:, symmetry.axes]
    np.testing.assert_array_equal(np.stack([moved["c"][axis] for axis in ("px", "py", "pz")], axis=1), expected)


def test_all_48_are_drawn_evenly_enough():
    augmenter = Augmenter(flip=True, permute=True)
    rng = np.random.default_rng(1)
    drawn = [augmenter.draw(rng) for _ in range(4800)]
    counts = [drawn.count(symmetry) for symmetry in SYMMETRIES]
    assert sum(counts) == 4800 and min(counts) > 50 and max(counts) < 160
    probe = np.random.default_rng(2).integers(0, 5, (20, 3))
    assert len({symmetry.voxels(probe, (5, 5, 5)).tobytes() for symmetry in SYMMETRIES}) == 48


def test_jitter():
    rng = np.random.default_rng(0)
    blobs = {"input_data": image(rng, 300, META), "segment_label": image(rng, 300, META)}
    scaled = Augmenter(charge_scale=0.1).jitter(blobs, np.random.default_rng(3))
    ratio = scaled["input_data"].features / blobs["input_data"].features
    assert np.ptp(ratio) < 1e-5 and abs(ratio[0, 0] - 1) > 1e-4
    noisy = Augmenter(charge_jitter=0.1).jitter(blobs, np.random.default_rng(3))
    logs = np.log(noisy["input_data"].features / blobs["input_data"].features)
    assert 0.08 < logs.std() < 0.12 and abs(logs.mean()) < 0.02
    assert noisy["segment_label"] is blobs["segment_label"]
    with pytest.raises(UserError, match="did you mean 'input_data'"):
        Augmenter(charge_jitter=0.1, charge_keys=["input_dat"]).jitter(blobs, rng)


def test_configuration():
    assert make_augmenter(None) is None
    assert make_augmenter({"flip": True}).flip
    with pytest.raises(UserError, match="unknown key 'flips'; did you mean 'flip'"):
        make_augmenter({"flips": True})
    with pytest.raises(UserError, match=r"charge_scale must be 0 or more"):
        make_augmenter({"charge_scale": -1})
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="together with a sparse3d"):
        Augmenter(flip=True).transform({"particle_x": particles(rng, 1)}, rng)
    products = event(rng, 10)
    assert Augmenter().transform(products, rng) == products
