"""The compiled recorder against user actions written in Python against the public bindings."""

import numpy as np

from mlreco.simulation.mixture import mixture
from mlreco.simulation.primaries import primaries

HALF = 300.0


def test_deposits_and_tracks_are_those_that_the_bindings_show(geant4):
    """Same seeds, same events, to the last bit."""
    rng = np.random.default_rng(5)
    events = [(seed, mixture(rng, HALF, (2, 4), (1, 3))) for seed in range(1, 5)]
    events.append((9, primaries([(2112, 80.0, (0, 0, 0), (0, 0, 1), 0), (22, 500.0, (0, 0, 0), (1, 0, 0), 0)])))
    recorded = geant4(events, 2 * HALF)
    for ours, (deposits, tracks) in zip(recorded, geant4(events, 2 * HALF, "python"), strict=True):
        assert len(deposits) > 20
        np.testing.assert_array_equal(ours.deposits["start"], [row[0] for row in deposits])
        np.testing.assert_array_equal(ours.deposits["end"], [row[1] for row in deposits])
        np.testing.assert_array_equal(ours.deposits["energy"], [row[2] for row in deposits])
        np.testing.assert_array_equal(ours.deposits["track"], [row[3] for row in deposits])
        assert [ours.processes[number] for number in ours.tracks["process"]] == [row["process"] for row in tracks]
        for name in set(tracks[0]) - {"process"}:
            np.testing.assert_array_equal(ours.tracks[name], [row[name] for row in tracks], err_msg=name)


def test_an_event_does_not_depend_on_those_before_it(geant4):
    rng = np.random.default_rng(6)
    events = [(seed, mixture(rng, HALF, (1, 3), (1, 2))) for seed in range(1, 9)]
    there = geant4(events, 2 * HALF)
    back = geant4(events[::-1], 2 * HALF)[::-1]
    for one, other in zip(there, back, strict=True):
        np.testing.assert_array_equal(one.deposits, other.deposits)


def test_an_event_that_does_not_fit_is_tracked_again_with_more_room(geant4):
    """A shower of 20 GeV leaves more deposits than there is room for at first."""
    shower = (3, primaries([(11, 20_000.0, (-700, 0, 0), (1, 0, 0), 0)]))
    small = (4, primaries([(11, 20.0, (0, 0, 0), (1, 0, 0), 0)]))
    first, second, again = geant4([small, shower, small])
    assert len(second.deposits) > 1 << 14
    assert second.deposits["energy"].sum() > 15_000
    np.testing.assert_array_equal(first.deposits, again.deposits)


def test_no_primaries_leave_nothing(geant4):
    (recording,) = geant4([(1, primaries([]))])
    assert len(recording.deposits) == len(recording.tracks) == 0
