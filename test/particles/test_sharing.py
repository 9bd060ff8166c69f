"""Energies of particles whose voxels near their parent are shared by probability."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_particles import STEP, image_of, line, random_directions, scene, stopping_energies
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mlreco.errors import UserError
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import csda_range
from mlreco.particles.grouping import group_voxels
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.particles.reconstruction import reconstruct_particles
from mlreco.particles.scattering import hidden_by_smoothing
from mlreco.particles.sharing import REACH, expected_energies
from mlreco.semantics import PILARNET

MIP, MICHEL = PILARNET.number("MIP"), PILARNET.number("Michel")


def by_all_pairs(voxels, parents, classes, scores, bias):
    """The same, voxel after voxel."""
    energies = np.zeros(len(voxels))
    related = {p: {p} for p in range(len(voxels))}
    for child, parent in enumerate(parents):
        if parent >= 0 and classes[child] != classes[parent]:
            related[child].add(parent)
            related[parent].add(child)
    for row, owner in enumerate(voxels.owners):
        near = cdist(voxels.positions[row : row + 1], voxels.positions)[0] <= REACH
        candidates = [p for p in related[owner] if p == owner or near[voxels.owners == p].any()]
        odds = np.array([scores[voxels.rows[row], classes[p]] / bias[classes[p]] for p in candidates], np.float64)
        shares = odds / odds.sum() if odds.sum() > 0 else np.array([p == owner for p in candidates], float)
        energies[candidates] += voxels.energies[row] * shares
    return energies


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 5), size=st.sampled_from([(0.3, 0.3, 0.3), (0.3, 0.5, 1.1)]))
def test_every_voxel_is_shared_by_the_odds_of_the_classes(seed, count, size):
    rng = np.random.default_rng(seed)
    cells = np.unique(rng.integers(0, 12, (rng.integers(1, 80), 3)), axis=0)
    rng.shuffle(cells)
    instances = rng.integers(-1, count, len(cells))
    scores = rng.dirichlet(np.full(5, 0.3), len(cells)).astype(np.float32)
    scores[rng.random(len(cells)) < 0.1] = 0
    voxels = group_voxels(cells, rng.random(len(cells)), instances, voxel_size=size)
    classes = rng.integers(0, 5, len(voxels))
    parents = np.array([rng.integers(-1, place) if place else -1 for place in range(len(voxels))], np.int64)
    bias = rng.uniform(0.2, 5, 5)
    found = expected_energies(voxels, parents, classes, scores, bias)
    np.testing.assert_allclose(found, by_all_pairs(voxels, parents, classes, scores, bias), rtol=1e-9, atol=1e-12)
    assert found.sum() == pytest.approx(voxels.energies.sum(), rel=1e-12)


def decay(scores_of_doubtful, direction=(1, 0.4, 0.2), last=1.0, gap=0.0):
    """A muon and its Michel electron, to which the last (1 cm) of the muon was given; all else is sure."""
    muon, travelled = line((0, 0, 0), direction, 40)
    aside = np.array([-0.2, 1, 0.3])
    michel, _ = line(muon[-1] + gap * aside, aside, 8)
    energies = stopping_energies(travelled, 40, "muon")
    of_michel = np.full(len(michel), 2.1 * STEP)
    image = image_of((muon, energies, "MIP"), (michel, of_michel, "Michel"))
    true = image.instances.copy()
    centre = (image.coordinates + 0.5) * np.array(image.voxel_size) + image.origin
    taken = (true == 0) & (np.linalg.norm(centre - muon[-1], axis=1) < last)
    scores = np.full((len(true), 5), 1e-4, np.float32)
    scores[np.arange(len(true)), np.where(true == 0, MIP, MICHEL)] = 1
    scores[taken, MIP], scores[taken, MICHEL] = scores_of_doubtful
    changed = replace(
        image,
        instances=np.where(taken, 1, true),
        semantics=np.where(taken, MICHEL, image.semantics),
        scores=scores,
    )
    return changed, image.energies[true == 1].sum(), image.energies[taken].sum()


def test_what_the_scores_give_back_to_the_muon_is_not_energy_of_its_electron():
    image, own, taken = decay((0.6, 0.4))
    assert taken > 3
    electron = reconstruct_particles(image, class_bias={"Michel": np.log(8)}).particles[1]
    assert electron["parent"] == 0
    assert electron["energy"] == pytest.approx(own + taken, rel=1e-6)
    share = 0.4 / 8 / (0.4 / 8 + 0.6)
    assert electron["expected_energy"] == pytest.approx(own + share * taken, rel=1e-2)
    assert electron["kinetic_energy"] == electron["expected_energy"]


def test_the_muon_gets_the_range_of_what_its_electron_holds():
    """And the rest of its own last voxel; a pion the range of what its muon leaves of that."""
    image, own, taken = decay((0.999, 0.001))
    (short, electron), (whole, _) = (reconstruct_particles(image, class_bias=bias).particles for bias in (None, {}))
    assert electron["energy"] == pytest.approx(own + taken, rel=1e-6)
    rest = 0.15 * np.abs(vectors_of(short[None], "direction")).sum()
    for name, held in (("muon", taken), ("pion", taken - 4.12), ("proton", taken)):
        longer = csda_range(whole[f"range_energy_{name}"], name) - csda_range(short[f"range_energy_{name}"], name)
        further = csda_range(held, name)
        assert longer == pytest.approx(further + min(further, rest), rel=0.03), name


def test_lengths_of_muons_in_their_electrons_are_right_on_average():
    """However much of them these hold; those that none holds are as long."""
    short, whole = [], []
    for direction, last in zip(random_directions(60, seed=7), np.linspace(0.4, 1.3, 60), strict=True):
        image, *_ = decay((0.999, 0.001), direction, last, gap=0.4)
        for lengths, bias in ((short, None), (whole, {})):
            lengths.append(reconstruct_particles(image, class_bias=bias).particles["length"][0])
    hidden = hidden_by_smoothing(np.array([40.0]), "muon", 1.0, 0.3)[0]
    assert np.mean(short) < 40 + hidden - 0.5
    assert np.mean(whole) == pytest.approx(40 + hidden, abs=0.05)


def test_without_bias_scores_or_parent_the_expected_energy_is_that_of_the_voxels():
    image, *_ = decay((0.6, 0.4))
    for changed, bias in ((image, None), (replace(image, scores=None), {"Michel": 1.0}), (scene(), {})):
        table = reconstruct_particles(changed, class_bias=bias).particles
        np.testing.assert_array_equal(table["expected_energy"], table["energy"])
    without = replace(image, energies=None)
    assert np.isnan(reconstruct_particles(without, class_bias={}).particles["expected_energy"]).all()


def test_particles_in_true_classes_have_the_energies_of_their_voxels():
    image, *_ = decay((0.6, 0.4))
    sums = np.bincount(image.instances, image.energies)
    event = {
        "coordinates": image.coordinates,
        "energies": image.energies,
        "semantics": image.semantics,
        "semantic_scores": image.scores,
        "instances": image.instances,
        "image_origin": np.array([image.origin]),
        "voxel_size": np.array([image.voxel_size]),
    }
    marks = [{}] + [{"in_true_classes": np.array([mark], np.int8)} for mark in (0, 1)]
    events = [event | mark for mark in marks]
    builder = ParticleBuilder(class_bias={"Michel": np.log(8)})
    unmarked, predicted, true = (tables["particles"] for tables in builder.of_events(events, PILARNET))
    assert unmarked.tobytes() == predicted.tobytes()
    assert predicted["expected_energy"][1] < 0.99 * sums[1]
    np.testing.assert_allclose(true["expected_energy"], sums, rtol=1e-6)
    assert true["kinetic_energy"][1] == true["expected_energy"][1]
    alone = ParticleBuilder(class_bias=None)(event, PILARNET)["particles"]
    assert true.tobytes() == alone.tobytes() == builder(events[2], PILARNET)["particles"].tobytes()


@pytest.mark.parametrize("bias", [{"Muon": 1.0}, {"Michel": float("nan")}, {"Michel": "much"}, {"Michel": True}])
def test_a_bias_that_is_none_is_refused(bias):
    with pytest.raises(UserError, match=r"Muon|class_bias\.Michel"):
        reconstruct_particles(scene(), class_bias=bias)
