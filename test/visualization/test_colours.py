import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlreco.visualization.colours import (
    MAX_COLOURS,
    NO_INSTANCE_COLOUR,
    class_colours,
    distinct_colours,
    matched_colours,
    matched_instances,
)

labels = st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 6)), max_size=60).map(
    lambda pairs: np.array(pairs, dtype=np.int32).reshape(-1, 2).T
)


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def test_hundreds_of_colours_differ_from_each_other_and_from_the_grey_of_no_instance():
    colours = distinct_colours(MAX_COLOURS)
    assert len(set(colours) | {NO_INSTANCE_COLOUR}) == MAX_COLOURS + 1
    first = np.array([rgb(colour) for colour in [*colours[:24], NO_INSTANCE_COLOUR]])
    distances = np.linalg.norm(first[:, None] - first[None], axis=2)
    assert distances[~np.eye(25, dtype=bool)].min() > 40


def test_colours_repeat_after_the_last_one():
    colours = distinct_colours(MAX_COLOURS + 3)
    assert colours[MAX_COLOURS:] == colours[:3]


def test_a_prediction_takes_the_colour_of_the_true_instance_it_overlaps_most():
    true = np.array([5] * 10 + [8] * 6)
    predicted = np.array([1] * 9 + [2] * 7)
    true_colours, predicted_colours = matched_colours(true, predicted)
    assert predicted_colours == {1: true_colours[5], 2: true_colours[8]}


def test_of_two_pieces_of_a_true_instance_the_larger_takes_its_colour():
    true = np.array([5] * 10)
    predicted = np.array([1] * 3 + [2] * 6 + [-1])
    true_colours, predicted_colours = matched_colours(true, predicted)
    assert predicted_colours[2] == true_colours[5]
    assert predicted_colours[1] not in true_colours.values()


def test_without_truth_every_prediction_has_a_colour_of_its_own():
    true_colours, predicted_colours = matched_colours(None, np.array([3, 3, -1, 4]))
    assert true_colours == {}
    assert sorted(predicted_colours) == [3, 4]
    assert len(set(predicted_colours.values())) == 2


@given(labels)
def test_matches_are_those_of_a_plain_count(pair):
    true, predicted = pair
    expected = {}
    for number in set(predicted[predicted >= 0].tolist()):
        counts = {
            other: np.sum((predicted == number) & (true == other)) for other in sorted(set(true[true >= 0].tolist()))
        }
        if counts and max(counts.values()):
            best = max(counts, key=counts.get)
            expected[number] = (best, counts[best])
    assert matched_instances(predicted, true) == expected


@given(labels)
def test_no_two_instances_of_one_side_share_a_colour(pair):
    for side, instances in zip(matched_colours(*pair), pair, strict=True):
        assert sorted(side) == sorted(set(instances[instances >= 0].tolist()))
        assert len(set(side.values())) == len(side)


def test_known_and_unknown_classes_have_colours():
    colours = class_colours(["HIP", "Shower", "Neutron"])
    assert list(colours) == ["HIP", "Shower", "Neutron"]
    assert len(set(colours.values())) == 3
