import numpy as np
import pytest

from mlreco.errors import UserError
from mlreco.simulation import Gun, Options, gun_from_text, options_from_mapping
from mlreco.simulation.guns import shoot
from mlreco.simulation.mixture import mixture


@pytest.mark.parametrize(
    ("text", "gun"),
    [
        ("mu-,200", Gun("mu-", (200.0, 200.0))),
        ("pi0,100:800", Gun("pi0", (100.0, 800.0))),
        ("proton,50:400,1:3", Gun("proton", (50.0, 400.0), (1, 3))),
        ("gamma,20,2", Gun("gamma", (20.0, 20.0), (2, 2))),
    ],
)
def test_guns_as_text(text, gun):
    assert gun_from_text(text) == gun


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mu-", "'mu-' is no PARTICLE,ENERGY"),
        ("mu-,200,1,5", "is no PARTICLE,ENERGY"),
        ("mu-,1:2:3", "is no PARTICLE,ENERGY"),
        ("mu-,200,1.5", "is no PARTICLE,ENERGY"),
        ("mu-,nan", "kinetic energies must be above 0"),
        ("mu-,300:200", "kinetic energies must be above 0"),
        ("mu-,0", "kinetic energies must be above 0"),
        ("muon,200", "no particle 'muon'"),
        ("mu-,200,3:1", "numbers of particles must be from 0"),
    ],
)
def test_guns_that_make_no_sense(text, message):
    with pytest.raises(UserError, match=message):
        gun_from_text(text)


def test_options_from_a_mapping_and_back():
    values = {
        "mode": ["thin", "fat"],
        "seed": 5,
        "size": 256,
        "particles": [
            "mu+,30:60",
            {"particle": "gamma", "kinetic": [20, 900], "spectrum": "log", "position": [0, 1, 2]},
        ],
    }
    options = options_from_mapping(values, "here")
    assert options.modes == ("thin", "fat") and options.particles[1].position == (0.0, 1.0, 2.0)
    plain = options.plain()
    plain["mode"] = plain.pop("modes")
    assert options_from_mapping(plain, "here") == options
    assert options_from_mapping({}, "here") == Options()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sead": 1}, "here: unknown key 'sead'; did you mean 'seed'?"),
        ({"mode": "thick"}, "here: no mode 'thick'"),
        ({"mode": ["thin", "thin"]}, "named once each"),
        ({"mode": []}, "named once each"),
        ({"seed": -1}, "here: the seed must be a number from 0"),
        ({"seed": 1.5}, "here: seed and size are whole numbers"),
        ({"seed": "x"}, "here: seed and size are whole numbers"),
        ({"size": 0}, "the size must be from 1"),
        ({"size": 10**6}, "the size must be from 1"),
        ({"vertex": [3]}, r"vertex and rain \[fewest, most\]"),
        ({"vertex": [3, 1]}, "vertex must be a fewest and a most"),
        ({"vertex": [0, 0], "rain": [0, 0]}, "nothing to simulate"),
        ({"particles": [{"kinetic": 5}]}, r"here.particles\[0\]: 'particle' is missing"),
        ({"particles": [{"particle": "mu-", "kinetic": 5, "energy": 3}]}, "unknown key 'energy'"),
        ({"particles": [{"particle": "mu-", "kinetic": 5, "position": [1, 2]}]}, r"position and direction \[x, y, z\]"),
        (
            {"size": 100, "particles": [{"particle": "mu-", "kinetic": 5, "position": [0, 15, 0]}]},
            r"mu-: \[0.0, 15.0, 0.0\] cm is outside the cube, which ends at 15 cm",
        ),
        ({"particles": [{"particle": "mu-", "kinetic": 5, "direction": [0, 0, 0]}]}, "the direction must not be zero"),
        ({"particles": [{"particle": "mu-", "kinetic": 5, "spectrum": "flat"}]}, "no spectrum 'flat'"),
    ],
)
def test_options_that_make_no_sense(values, message):
    with pytest.raises(UserError, match=message):
        options_from_mapping(values, "here")


def test_the_mixture_has_what_its_options_say():
    rng, half = np.random.default_rng(1), 768.0
    events = [mixture(rng, half, (2, 8), (1, 9)) for _ in range(300)]
    at_vertex = [(event["interaction"] == 0).sum() for event in events]
    alone = [event["interaction"].max() for event in events]
    assert (min(at_vertex), max(at_vertex), min(alone), max(alone)) == (2, 8, 1, 9)
    particles = np.concatenate(events)
    np.testing.assert_allclose(np.linalg.norm(particles["direction"], axis=1), 1)
    assert (np.abs(particles["position"]) <= half).all()
    assert particles["kinetic"].min() > 34.9 and particles["kinetic"].max() < 5001
    for event in events:
        first = event[event["interaction"] == 0]
        assert (first["position"] == first["position"][0]).all()
    cosmic = particles[particles["position"][:, 1] == half - 0.01]
    assert (np.abs(cosmic["pdg"]) == 13).all() and (cosmic["direction"][:, 1] < 0).all()
    zenith = np.abs(cosmic["direction"][:, 1])
    assert zenith.mean() == pytest.approx(3 / 4, abs=4 * zenith.std() / np.sqrt(len(zenith)))


def test_guns_shoot_from_one_vertex_unless_they_have_a_place():
    guns = (
        Gun("mu-", (100, 200), (2, 2)),
        Gun("e-", (5, 5), position=(1.0, 2.0, 3.0), direction=(0, 0, 2)),
    )
    shot = shoot(np.random.default_rng(2), 100.0, guns, 0.5)
    assert shot["pdg"].tolist() == [13, 13, 11]
    assert (shot["position"][0] == shot["position"][1]).all() and (np.abs(shot["position"][0]) < 50).all()
    assert shot["position"][2].tolist() == [10, 20, 30] and shot["direction"][2].tolist() == [0, 0, 1]
    assert ((shot["kinetic"][:2] > 100) & (shot["kinetic"][:2] < 200)).all()
