"""Ranges against published numbers, and against the Bethe formula integrated here."""

import numpy as np
import pytest
from scipy.integrate import quad

from mlreco.errors import UserError
from mlreco.particles.csda import csda_range, kinetic_energy, stopping_power
from mlreco.particles.liquid_argon import DENSITY, MASSES
from mlreco.particles.range_tables import MUON, PROTON

ELECTRON = 0.51099895
STERNHEIMER = {"a": 0.19559, "k": 3.0, "x0": 0.2, "x1": 3.0, "c": 5.2146}
"""Density effect of liquid argon (Sternheimer, Berger and Seltzer 1984)."""


def bethe(energy, mass):
    """Mean dE/dx of a unit charge in liquid argon, MeV/cm: K z2 Z/A 1/b2 (ln(...)/2 - b2 - delta/2), I = 188 eV."""
    gamma = 1 + energy / mass
    bg2 = gamma**2 - 1
    beta2 = bg2 / gamma**2
    most = 2 * ELECTRON * bg2 / (1 + 2 * gamma * ELECTRON / mass + (ELECTRON / mass) ** 2)
    x, s = np.log10(np.sqrt(bg2)), STERNHEIMER
    delta = 0.0
    if x > s["x0"]:
        delta = 2 * np.log(10) * x - s["c"] + (s["a"] * (s["x1"] - x) ** s["k"] if x < s["x1"] else 0)
    logarithm = 0.5 * np.log(2 * ELECTRON * bg2 * most / 188e-6**2)
    return DENSITY * 0.307075 * 18 / 39.948 / beta2 * (logarithm - beta2 - delta / 2)


@pytest.mark.parametrize(
    ("particle", "energy", "centimetres"),
    [
        ("proton", 200, 36.27 / 1.396),
        ("proton", 50, 3.208 / 1.396),
        ("muon", 1000, 616.3 / 1.396),
        ("muon", 100, 30.44),
    ],
)
def test_published_ranges(particle, energy, centimetres):
    assert csda_range(energy, particle) == pytest.approx(centimetres, rel=1e-3)


def test_muon_minimum_is_that_of_the_particle_data_group():
    """1.508 MeV cm2/g at 266 MeV."""
    ranges = np.linspace(1, 500, 5000)
    power = stopping_power(ranges, "muon")
    assert power.min() / DENSITY == pytest.approx(1.508, rel=1e-3)
    assert stopping_power(csda_range(266, "muon"), "muon") == pytest.approx(power.min(), rel=3e-3)


@pytest.mark.parametrize(("particle", "low", "high"), [("muon", 20, 1000), ("pion", 30, 1000), ("proton", 30, 1000)])
def test_the_tables_agree_with_the_bethe_formula(particle, low, high):
    """Left out: radiation in the formula, the density effect of the liquid in the protons' table; 1.5 % at most."""
    mass = MASSES[particle]
    for energy in np.geomspace(low, high, 7):
        length = csda_range(energy, particle)
        assert stopping_power(length, particle) == pytest.approx(bethe(energy, mass), rel=0.015)
        expected = csda_range(low, particle) + quad(lambda t: 1 / bethe(t, mass), low, energy)[0]
        assert length == pytest.approx(expected, rel=0.012)


@pytest.mark.parametrize("rows", [MUON, PROTON])
def test_the_tables_are_consistent_in_themselves(rows):
    """A wrong digit would show: the difference of two ranges is the integral of 1 / (dE/dx) between."""
    energy, power, length = np.array(rows).T
    assert (np.diff(energy) > 0).all()
    assert (np.diff(length) > 0).all()
    per_log = energy / power
    integral = np.diff(np.log(energy)) * (per_log[:-1] + per_log[1:]) / 2
    np.testing.assert_allclose(np.diff(length), integral, rtol=0.03)


@pytest.mark.parametrize("particle", ["muon", "pion", "proton"])
def test_energy_is_the_inverse_of_range(particle):
    energy = np.geomspace(2, 8000, 400)
    length = csda_range(energy, particle)
    np.testing.assert_allclose(kinetic_energy(length, particle), energy, rtol=1e-3)
    slope = np.gradient(energy, length)
    np.testing.assert_allclose(stopping_power(length, particle)[5:-5], slope[5:-5], rtol=0.01)


def test_what_has_no_range_is_nan():
    assert kinetic_energy(0.0, "muon") == 0
    assert csda_range(0.0, "muon") == 0
    for value in (-1.0, np.nan, 1e9):
        assert np.isnan(kinetic_energy(value, "proton"))
        assert np.isnan(csda_range(value, "proton"))
        assert np.isnan(stopping_power(value, "muon"))
    assert np.isnan(stopping_power(0.0, "muon"))
    assert 0 < csda_range(0.1, "proton") < csda_range(1.0, "proton")
    with pytest.raises(UserError, match="no range table of 'muno'; did you mean 'muon'"):
        kinetic_energy(1.0, "muno")
