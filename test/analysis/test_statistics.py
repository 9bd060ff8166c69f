"""Numbers of analyses on samples of known law."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from mlreco.analysis import michel_spectrum as spectrum
from mlreco.analysis.statistics import Number, fit_density_within, fraction, interval, median, quantile, width
from mlreco.analysis.subjects import dedx, pi0


def test_medians_widths_and_quantiles_of_a_gaussian():
    values = np.append(np.random.default_rng(0).normal(5, 2, 4000), np.nan)
    found = median("m", values, "cm", 5.0)
    assert found.value == pytest.approx(5, abs=4 * found.error)
    assert found.error == pytest.approx(2 * np.sqrt(np.pi / 2 / 4000), rel=0.25)
    assert width("w", values).value == pytest.approx(2, abs=0.08)
    assert quantile("q", values, 0.9).value == pytest.approx(5 + 2 * 1.2816, abs=0.15)
    assert found.count == 4000
    assert found.text().startswith("m: ")
    assert np.isnan(median("m", np.array([1.0, np.nan])).value)
    assert median("m", np.array([1.0, np.nan]), "cm", 2.0).text() == "m: not known (1, expected 2)"


@pytest.mark.parametrize(("yes", "no"), [(0, 5), (5, 0), (3, 7), (400, 100)])
def test_fractions(yes, no):
    found = fraction("f", np.array([True] * yes + [False] * no))
    assert found.value == pytest.approx(yes / (yes + no))
    assert 0 < found.error < 0.5
    if yes and no:
        law = beta(yes + 1, no + 1)
        assert 0.9 < found.error / law.std() < 1.5, "the interval of Clopper and Pearson is the wider one"
    assert np.isnan(fraction("f", np.empty(0, bool)).value)
    low, high = interval(np.array([True] * yes + [False] * no))
    assert 0 <= low <= found.value <= high <= 1, "error bars of efficiencies stay between nothing and all"


def decays(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return true energies of electrons, drawn from the spectrum by rejection."""
    x = rng.random(20 * count)
    return 52.83 * x[rng.random(len(x)) < x**2 * (3 - 2 * x)][:count]


def seen(rng: np.random.Generator, energies: np.ndarray, losing: float = 0.3) -> np.ndarray:
    """Return energies as a detector sees them."""
    lost = (rng.random(len(energies)) < losing) * rng.exponential(spectrum.RADIATED, len(energies))
    return energies - lost + rng.normal(0, spectrum.RESOLUTION, len(energies))


def test_the_density_of_energies_is_that_of_drawn_ones():
    """Against a histogram of drawn energies, and its integral is 1."""
    rng = np.random.default_rng(3)
    drawn = seen(rng, decays(rng, 400_000), 0.4)
    edges = np.arange(spectrum.LEAST, spectrum.MOST + 0.5)
    counts, _ = np.histogram(drawn, edges)
    fine = np.linspace(spectrum.LEAST, spectrum.MOST, 20 * (len(edges) - 1) + 1)
    law = spectrum.density((fine[1:] + fine[:-1]) / 2, 52.83, 0.4, 0.0).reshape(-1, 20).mean(axis=1)
    assert law.sum() == pytest.approx(1, abs=1e-3)
    expected = law * counts.sum()
    assert np.abs(counts - expected)[expected > 100].max() < 5 * np.sqrt(expected.max())
    assert np.square(counts - expected)[expected > 100].sum() / expected[expected > 100].sum() == pytest.approx(
        1, abs=0.8
    )
    with_others = spectrum.density(fine, 52.83, 0.4, 0.2)
    assert np.trapezoid(with_others, fine) == pytest.approx(1, abs=1e-3)
    assert with_others[-1] == pytest.approx(0.2 / (spectrum.MOST - spectrum.LEAST))


def test_the_density_moves_smoothly_with_the_end_point():
    """A likelihood with steps would end wherever the search begins."""
    energies = decays(np.random.default_rng(5), 300)
    energies = energies[spectrum.in_window(energies)]
    points = np.linspace(52, 54, 401)
    values = [-np.log(spectrum.density(energies, end, 0.2, 0.02)).sum() for end in points]
    assert np.abs(np.diff(values, 2)).max() < 0.02


def test_the_end_point_of_decays_is_found():
    rng = np.random.default_rng(1)
    energies = decays(rng, 3000)
    fit = spectrum.fit_end_point(seen(rng, energies))
    assert fit.parameters[0] == pytest.approx(52.83, abs=3 * fit.errors[0])
    assert 0 < fit.errors[0] < 1
    assert fit.parameters[1] == pytest.approx(0.3, abs=4 * fit.errors[1])
    sharp = spectrum.fit_end_point(energies, spectrum.SHARP)
    assert sharp.parameters[0] == pytest.approx(52.83, abs=0.3), "true energies have no resolution that moves the edge"
    sharp = spectrum.fit_end_point(np.append(energies[:400], [55.1, 56.6]), spectrum.SHARP)
    assert sharp.parameters[0] == pytest.approx(52.83, abs=0.6), "nor do muons that decayed in flight"


def test_the_error_of_the_end_point_is_its_spread():
    """Of samples like those of 400 electrons that a chain finds in a thousand events."""
    rng = np.random.default_rng(6)
    fits = [spectrum.fit_end_point(seen(rng, decays(rng, 400))) for _ in range(40)]
    pulls = np.array([(fit.parameters[0] - 52.83) / fit.errors[0] for fit in fits])
    known = np.isfinite(pulls)
    assert known.sum() >= 36
    assert 0.6 < np.std(pulls[known]) < 1.4
    assert abs(np.mean(pulls[known])) < 0.5


def test_there_is_no_end_point_where_all_lose_energy():
    rng = np.random.default_rng(7)
    energies = decays(rng, 3000)
    energies -= rng.exponential(12, len(energies))
    assert np.isnan(spectrum.fit_end_point(energies).parameters).all()
    assert np.isnan(spectrum.fit_end_point(energies[:4]).parameters).all()


def test_what_is_no_michel_electron_does_not_move_the_end_point():
    """One in twenty has any energy, also beyond what is fitted."""
    rng = np.random.default_rng(4)
    energies = np.concatenate([seen(rng, decays(rng, 600)), rng.uniform(15, 80, 30), [90.0, 400.0, np.inf]])
    fit = spectrum.fit_end_point(energies)
    assert fit.parameters[0] == pytest.approx(52.83, abs=3 * fit.errors[0])
    assert 0 < fit.errors[0] < 2
    assert fit.parameters[2] == pytest.approx(0.05, abs=0.03)


def test_a_parameter_that_ends_at_its_bound_is_held_there():
    values = np.random.default_rng(8).normal(1.0, 2.0, 500)

    def loss(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        assert parameters[0] >= 1.5, "outside of the bounds"
        return 0.5 * ((values - parameters[0]) / parameters[1]) ** 2 + np.log(parameters[1])

    start, most = np.array([2.0, 1.0]), np.array([9.0, 9.0])
    fit = fit_density_within(values, loss, start, np.array([1.5, 0.1]), most)
    width = np.sqrt(np.mean((values - 1.5) ** 2))
    assert fit.parameters[0] == 1.5
    assert np.isnan(fit.errors[0])
    assert fit.parameters[1] == pytest.approx(width, rel=1e-4)
    assert fit.errors[1] == pytest.approx(width / np.sqrt(1000), rel=0.02)
    held = fit_density_within(values, loss, start, np.array([1.5, 3.0]), most)
    assert held.parameters.tolist() == [1.5, 3.0]
    assert np.isnan(held.errors).all()


def test_a_peak_on_a_background_is_found():
    rng = np.random.default_rng(2)
    masses = np.concatenate([rng.normal(134.98, 15, 300), rng.uniform(*pi0.WINDOW, 100)])
    fit = pi0.fit_peak(masses[(masses > pi0.WINDOW[0]) & (masses < pi0.WINDOW[1])])
    assert fit.parameters[0] == pytest.approx(134.98, abs=3 * fit.errors[0])
    assert fit.parameters[1] == pytest.approx(15, abs=4 * fit.errors[1])
    assert np.isnan(pi0.fit_peak(masses[:4]).parameters).all()


def test_a_peak_without_background_has_errors():
    masses = np.random.default_rng(3).normal(134.98, 15, 70)
    fit = pi0.fit_peak(masses)
    assert fit.parameters[2] == pytest.approx(1, abs=0.02)
    assert fit.errors[0] == pytest.approx(np.std(masses) / np.sqrt(70), rel=0.1)
    assert fit.errors[1] == pytest.approx(np.std(masses) / np.sqrt(140), rel=0.1)
    assert pi0._at_least(fit.errors[2], masses) == pytest.approx(1 / 70)


def test_errors_of_steps_are_those_of_their_tracks():
    """Steps that are the same along a track tell no more than the track; independent ones tell as many things."""
    rng = np.random.default_rng(0)
    tracks = np.repeat(np.arange(200), 30)
    alike, apart = np.repeat(rng.normal(2, 0.3, 200), 30), rng.normal(2, 0.3, 6000)
    assert dedx._mean("", alike, tracks, "", 2.0).error == pytest.approx(np.std(alike) / np.sqrt(200))
    assert dedx._mean("", apart, tracks, "", 2.0).error == pytest.approx(np.std(apart) / np.sqrt(6000), rel=0.15)
    drawn = [rng.normal(2, 0.3, 200).mean() for _ in range(300)]
    assert dedx._mean("", alike, tracks, "", 2.0).error == pytest.approx(np.std(drawn), rel=0.2)
    assert dedx._mean("", alike[:2], tracks[:2], "", 2.0).count == 2


@pytest.mark.parametrize(
    ("value", "error", "unit", "text"),
    [
        (0.002803, 0.017, "cm", "0.003 ± 0.017 cm"),
        (-0.00012, 0.0996, "", "0.00 ± 0.10"),
        (2.7613, 0.2, "deg", "2.76 ± 0.20 deg"),
        (51.351, 12.34, "MeV", "51 ± 12 MeV"),
        (12345.0, 678.0, "", "12340 ± 680"),
        (1.0, 0.0, "", "1 ± 0"),
        (52.8312, math.nan, "MeV", "52.83 ± ? MeV"),
        (math.nan, math.nan, "MeV", "not known"),
    ],
)
def test_values_have_the_decimals_of_two_digits_of_their_uncertainty(value, error, unit, text):
    assert Number("x", value, error, unit, 5).measured() == text
