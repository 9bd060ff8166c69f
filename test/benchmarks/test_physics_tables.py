"""Constants and tables of physics: what the fits find in drawn values, and columns that stay."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from benchmarks.physics import direction_constants, pulls, shower_budget
from benchmarks.physics.__main__ import _cell, table
from benchmarks.physics.fitting import minus_log_student
from benchmarks.physics.shower_constants import _fit_angles, _part_as_the_other, _student_width, _wrong_part
from mlreco.analysis.statistics import Number
from mlreco.analysis.subjects import vertices
from mlreco.particles import identity
from mlreco.particles.vertices import CONVERSION
from mlreco.semantics import PILARNET


def test_the_width_of_a_student_t_is_found():
    values = 0.2 * np.random.default_rng(0).standard_t(identity.FREEDOM, 4000)
    assert _student_width(values) == pytest.approx(0.2, rel=0.05)


def test_the_likelihood_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    pull, scale = np.array([0.3, -2.0, 5.0]), np.array([0.1, 0.2, 0.3])
    one, other = ((-stats.t.logpdf(p, 3) + np.log(scale)).sum() for p in (pull, 2 * pull))
    mine = [minus_log_student(p, scale, 3) for p in (pull, 2 * pull)]
    assert mine[1] - mine[0] == pytest.approx(other - one)


@pytest.mark.parametrize("electron", [False, True])
def test_the_part_of_showers_that_ionise_as_the_other_is_found(electron):
    rng, count = np.random.default_rng(4), 6000
    peaks = [identity.ELECTRON_DEDX, identity.PHOTON_DEDX]
    own, other = peaks if electron else peaks[::-1]
    peak = np.where(rng.random(count) < 0.2, other, own)
    dedx = peak * np.exp(identity.WIDTH * rng.standard_t(identity.FREEDOM, count))
    assert _part_as_the_other(dedx, electron) == pytest.approx(0.2, abs=0.025)


def test_the_part_of_wrong_vertices_is_found():
    rng, count = np.random.default_rng(5), 6000
    near = np.abs(identity.GAP_ERROR * rng.standard_t(identity.FREEDOM, count))
    gap = np.where(rng.random(count) < 0.15, rng.exponential(CONVERSION, count), near)
    assert _wrong_part(gap) == pytest.approx(0.15, abs=0.025)


def test_angles_that_fall_with_energy_are_found():
    rng = np.random.default_rng(1)
    energy = rng.uniform(30, 800, 6000)
    within = np.hypot(15 / energy, 0.04)
    angle = within * rng.rayleigh(size=6000) / np.sqrt(-2 * np.log(0.32))
    assert _fit_angles(np.stack([angle, energy], axis=1)) == pytest.approx([15, 0.04], rel=0.08)


def test_constants_of_directions_are_found():
    """Angles drawn from known uncertainties in two planes."""
    rng, count = np.random.default_rng(2), 8000
    steps, scattering, noise = rng.uniform(0.005, 0.03, (3, count))
    scattering, company = scattering / 13.6, np.where(rng.random(count) < 0.5, 0, rng.uniform(0, 0.1, count))
    constants = np.array([12.0, 0.6, 0.4])
    plane = np.sqrt(steps**2 + ((np.stack([scattering, noise, company], 1) * constants) ** 2).sum(axis=1))
    angle = np.linalg.norm(rng.normal(size=(2, count)) * plane, axis=0)
    rows = np.stack(direction_constants.Parts(angle, steps, scattering, noise, company), axis=1)
    assert direction_constants._fit(rows, [], [13.6, 0.3, 0.3]) == pytest.approx(constants, rel=0.1)
    assert direction_constants._fit(rows, [12.0, 0.6], [0.3]) == pytest.approx(constants[2:], rel=0.1)


def test_pulls_are_one_where_uncertainties_are_right():
    rayleigh = np.random.default_rng(3).rayleigh(1 / np.sqrt(-2 * np.log(0.32)), 20_000)
    value, error = pulls._cell(rayleigh).split(" (")[0].split(" ± ")
    assert float(value) == pytest.approx(1, abs=4 * float(error))
    assert pulls._cell(rayleigh[:40]) == "(40)"
    text = pulls.table({"thin": ({"all": "1"}, {"2 tracks": "3"}), "fat": ({"all": "2"}, {"2 tracks": "4"})})
    assert "| all | 1 | 2 |" in text.splitlines()
    assert text.splitlines()[-1] == "| 2 tracks | 3 | 4 |"


def test_pulls_of_vertices_are_told_by_the_number_of_their_tracks(monkeypatch):
    rng, count = np.random.default_rng(5), 9000
    spread = rng.uniform(0.01, 0.2, count)
    miss = rng.normal(size=(count, 3)) * spread[:, None]
    miss[::3] *= 2  # those of two tracks are told too well
    tracks = np.tile([2, 3, 7], count // 3)
    found = vertices.MatchedVertices(np.arange(count), tracks, tracks, miss, miss[:, 0] + 0.01, spread)
    monkeypatch.setattr(pulls, "matched_vertices", lambda sample: found)
    _, two, few, many, along = (float(text.split(" ±")[0]) for text in dict(pulls.vertex_pulls(None)).values())
    assert (two, few, many) == pytest.approx([2 * vertices.WITHIN, vertices.WITHIN, vertices.WITHIN], rel=0.03)
    assert along == pytest.approx(0.01, abs=0.004)


def test_a_table_has_a_column_for_true_instances_and_one_for_the_chain():
    one, other = Number("length", 0.01, 0.002, "cm", 90, 0.0), Number("length", np.nan, np.nan, "cm", 2, 0.0)
    given = argparse.Namespace(name="thin", first=None, events=Path("a.h5"), pi0=None, chain="thin")
    text = table(given, {"true instances": {"tracks": [one]}, "chain": {"tracks": [other]}})
    assert text.splitlines()[-1] == "| tracks | length | 0.0100 ± 0.0020 cm (90) | - (2) | 0 |"
    assert _cell(one) == "0.0100 ± 0.0020 cm (90)"


def test_the_energy_of_a_shower_is_followed_to_where_it_is():
    """Of 100 MeV 60 are found, 4 in a small shower, 20 in a track, 10 in none; 5 of others are with the 60."""
    sizes = {"own": 30, "small": 4, "track": 12, "none": 5, "foreign": 3, "rest": 6}
    found = np.repeat([0, 1, 2, -1, 0, 3], list(sizes.values()))
    true = np.repeat([7, 7, 7, 7, 9, 7], list(sizes.values()))
    energies = np.repeat([60 / 30, 4 / 4, 20 / 12, 10 / 5, 5 / 3, 6 / 6], list(sizes.values()))
    shower, track = PILARNET.number("Shower"), PILARNET.number("MIP")
    columns = [("particle", int), ("semantic", int), ("voxels", int), ("energy", float), ("wall_distance", float)]
    particles = np.zeros(4, columns)
    particles["particle"], particles["semantic"] = np.arange(4), [shower, shower, track, shower]
    particles["voxels"], particles["energy"], particles["wall_distance"] = [33, 4, 12, 16], [65, 4, 20, 6], 50
    truth = np.zeros(2, [("particle", int), ("primary", int), ("pdg", int), ("kinetic_energy", float)])
    truth["particle"], truth["primary"], truth["pdg"], truth["kinetic_energy"] = [7, 9], [1, 0], [22, 13], [110, 50]
    matches = np.zeros(4, [("match", int), ("iou", float)])
    matches["match"], matches["iou"] = [7, 7, 7, 7], [0.6, 0.1, 0.1, 0.1]
    event = {
        "particles": particles,
        "particles_true": truth,
        "matches": matches,
        "instances": found,
        "instances_true": true,
        "energies": energies,
    }
    (parts,) = shower_budget._of_event(event)
    expected = {"own": 0.6, "small": 0.04, "large": 0.06, "tracks": 0.2, "none": 0.1, "foreign": 0.05, "energy": 0.65}
    assert dict(zip(shower_budget.ROWS, parts, strict=True)) == pytest.approx(expected | {"Michel": 0, "Delta": 0})
    assert "| in tracks | 0.200 ± 0.000 |" in shower_budget.table({"thin": np.array([parts, parts])})
