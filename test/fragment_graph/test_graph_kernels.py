"""The compiled kernels of the fragment graph against slow and obvious versions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from graph_events import random_event
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mlreco.post_processing.fragment_graph.approach import closest_approach
from mlreco.post_processing.fragment_graph.blocks import BLOCK, SUPER, FragmentVoxels, morton_codes
from mlreco.post_processing.fragment_graph.eigen import principal_axes
from mlreco.post_processing.fragment_graph.pairs import Reach, _box_gaps, _least, pairs_in_reach
from mlreco.post_processing.fragment_graph.shapes import NEAR_END, fragment_shapes
from mlreco.post_processing.fragment_graph.surroundings import NEAR, surroundings


def interleaved(voxel: np.ndarray) -> int:
    return sum(((int(voxel[axis]) >> bit) & 1) << (3 * bit + axis) for axis in range(3) for bit in range(21))


@pytest.fixture(params=[0, 1])
def sorted_event(request: pytest.FixtureRequest) -> tuple[dict, np.ndarray, FragmentVoxels]:
    event, owner = random_event(request.param)
    return event, owner, FragmentVoxels.sort(event["coordinates"], owner)


def test_morton_codes_are_the_interleaved_bits() -> None:
    voxels = np.random.default_rng(0).integers(0, 1 << 21, (50, 3))
    voxels[0], voxels[1] = 0, (1 << 21) - 1
    assert morton_codes(voxels).tolist() == [interleaved(voxel) for voxel in voxels]


def test_voxels_stand_fragment_after_fragment_along_the_curve(sorted_event: tuple) -> None:
    event, owner, voxels = sorted_event
    expected = sorted(range(len(owner)), key=lambda row: (owner[row], interleaved(event["coordinates"][row])))
    assert voxels.rows.tolist() == expected
    assert voxels.sizes.tolist() == np.bincount(owner).tolist()
    assert (voxels.positions == event["coordinates"][voxels.rows]).all()


def test_boxes_hold_their_blocks(sorted_event: tuple) -> None:
    _, _, voxels = sorted_event
    block = 0
    for start, end in itertools.pairwise(voxels.starts):
        for first in range(start, end, BLOCK):
            inside = voxels.positions[first : min(first + BLOCK, end)]
            assert (voxels.boxes.lows[block] == inside.min(axis=0)).all()
            assert (voxels.boxes.highs[block] == inside.max(axis=0)).all()
            block += 1
    assert block == len(voxels.boxes.lows) == voxels.boxes.first_block[-1]
    for first, last, low, high in zip(
        voxels.boxes.first_super,
        voxels.boxes.first_super[1:],
        voxels.boxes.first_block,
        voxels.boxes.first_block[1:],
        strict=False,
    ):
        for number, upper in enumerate(range(first, last)):
            below = slice(low + number * SUPER, min(low + (number + 1) * SUPER, high))
            assert (voxels.boxes.super_lows[upper] == voxels.boxes.lows[below].min(axis=0)).all()
            assert (voxels.boxes.super_highs[upper] == voxels.boxes.highs[below].max(axis=0)).all()


def test_voxels_without_a_fragment_are_left_out() -> None:
    voxels = FragmentVoxels.sort(np.array([[5, 1, 1], [2, 2, 2], [3, 3, 3]]), np.array([-1, 0, -1]))
    assert voxels.rows.tolist() == [1]
    empty = FragmentVoxels.sort(np.zeros((0, 3), np.int64), np.zeros(0, np.int64))
    assert len(empty) == 0
    assert len(empty.positions) == 0


def test_closest_approach_is_the_least_of_all_distances(sorted_event: tuple) -> None:
    _, _, voxels = sorted_event
    pairs = np.array(list(itertools.permutations(range(len(voxels)), 2)))
    places, distances = closest_approach(voxels, pairs)
    for (one, other), (first, second), distance in zip(pairs, places, distances, strict=True):
        table = cdist(
            voxels.positions[voxels.starts[one] : voxels.starts[one + 1]],
            voxels.positions[voxels.starts[other] : voxels.starts[other + 1]],
        )
        assert distance == table.min()
        assert voxels.starts[one] <= first < voxels.starts[one + 1]
        assert voxels.starts[other] <= second < voxels.starts[other + 1]
        assert np.linalg.norm(voxels.positions[first] - voxels.positions[second]) == distance


def test_closest_approach_of_dense_fragments() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    coordinates = np.concatenate([grid, grid + np.array([11, 3, 0])])
    voxels = FragmentVoxels.sort(coordinates, np.repeat([0, 1], len(grid)))
    places, distances = closest_approach(voxels, np.array([[0, 1], [1, 0]]))
    assert distances.tolist() == [4.0, 4.0]
    assert places[0].tolist() == places[1][::-1].tolist()


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_principal_axes_are_those_of_lapack(rank: int) -> None:
    rng = np.random.default_rng(rank)
    for _ in range(20):
        factor = rng.normal(size=(3, rank)) * rng.random() * 10
        matrix = factor @ factor.T
        values, axes = np.empty(3), np.empty((3, 3))
        principal_axes(matrix.copy(), values, axes)
        expected = np.linalg.eigvalsh(matrix)[::-1]
        np.testing.assert_allclose(values, expected, atol=1e-12 * max(1, expected[0]))
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(axes.T @ np.diag(values) @ axes, matrix, atol=1e-12 * max(1, expected[0]))


def test_shapes_are_those_of_a_slow_version(sorted_event: tuple) -> None:
    event, _, voxels = sorted_event
    energies = event["energies"][voxels.rows].astype(np.float64)
    shapes = fragment_shapes(voxels.positions, energies, voxels.starts)
    for number, (start, end) in enumerate(itertools.pairwise(voxels.starts)):
        points, energy = voxels.positions[start:end], energies[start:end]
        centre = points.mean(axis=0)
        steps = points - centre
        values, vectors = np.linalg.eigh(steps.T @ steps / len(points))
        np.testing.assert_allclose(shapes.centroids[number], centre)
        np.testing.assert_allclose(shapes.spreads[number], np.sqrt(np.maximum(values[::-1], 0)), atol=1e-6)
        if len(points) == 1:
            assert (shapes.axes[number] == 0).all()
            assert (shapes.beginnings[number] == points[0]).all()
            continue
        axis = shapes.axes[number]
        np.testing.assert_allclose(abs(axis @ vectors[:, 2]), 1, atol=1e-9)
        along = steps @ axis
        widths = [
            np.square(np.linalg.norm(steps[half] - np.outer(along[half], axis), axis=1)).sum() / max(half.sum(), 1)
            for half in (along <= 0, along > 0)
        ]
        low, high = np.array(widths) + 1 / 12
        np.testing.assert_allclose(shapes.opening[number], 0.5 * np.log(high / low), atol=1e-9)
        assert shapes.opening[number] >= 0
        assert (shapes.beginnings[number] == points[along.argmin()]).all()
        assert (shapes.ends[number] == points[along.argmax()]).all()
        near = [energy[along <= along.min() + NEAR_END].mean(), energy[along >= along.max() - NEAR_END].mean()]
        np.testing.assert_allclose(shapes.charges[number], near)


def test_a_square_has_no_axis() -> None:
    square = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]], np.float64)
    shapes = fragment_shapes(square, np.ones(4), np.array([0, 4]))
    assert (shapes.axes == 0).all()
    assert shapes.opening.tolist() == [0.0]


def test_surroundings_are_those_of_a_slow_version(sorted_event: tuple) -> None:
    event, _, voxels = sorted_event
    energies = event["energies"][voxels.rows].astype(np.float64)
    fragment = np.repeat(np.arange(len(voxels)), voxels.sizes)
    asked = np.array([[0, 3], [3, len(fragment) - 1]])
    around = surroundings(voxels, energies, fragment, asked)
    assert np.flatnonzero(around.number >= 0).tolist() == np.unique(asked).tolist()
    for place in np.unique(asked):
        row = around.number[place]
        distance = np.linalg.norm(voxels.positions - voxels.positions[place], axis=1)
        near = (fragment == fragment[place]) & (distance <= NEAR)
        steps = voxels.positions[near] - voxels.positions[place]
        assert around.counts[row] == near.sum()
        np.testing.assert_allclose(around.offsets[row], steps.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(around.energies[row], energies[near].mean())
        if near.sum() > 2:
            _, vectors = np.linalg.eigh(np.cov(steps.T, bias=True))
            np.testing.assert_allclose(abs(vectors[:, 2] @ around.axes[row]), 1, atol=1e-9)


@pytest.mark.parametrize("reach", [Reach(6, 40, 10, 20, 99), Reach(20, 60, 5, 5, 99), Reach(0, 0, 1, 1, 99)])
def test_pairs_are_those_that_the_rule_names(sorted_event: tuple, reach: Reach) -> None:
    _, _, voxels = sorted_event
    sizes, radiating = voxels.sizes, np.arange(len(voxels)) % 2 == 0
    expected = {}
    for one, other in itertools.combinations(range(len(voxels)), 2):
        larger, smaller = (one, other) if sizes[one] >= sizes[other] else (other, one)
        gap = cdist(
            voxels.positions[voxels.starts[one] : voxels.starts[one + 1]],
            voxels.positions[voxels.starts[other] : voxels.starts[other + 1]],
        ).min()
        is_large = sizes[larger] >= reach.large
        is_trunk = sizes[larger] >= reach.trunk and radiating[larger]
        if gap <= (reach.far if is_large else reach.near) or is_trunk:
            expected[larger, smaller] = gap
    pairs = pairs_in_reach(voxels, np.zeros(len(voxels), np.int8), radiating, reach)
    assert dict(zip(map(tuple, pairs.fragments.tolist()), pairs.gaps, strict=True)) == expected


def test_a_fragment_has_only_so_many_distant_partners() -> None:
    event, owner = random_event(3, fragments=60, most=20)
    voxels = FragmentVoxels.sort(event["coordinates"], owner)
    radiating = np.ones(len(voxels), bool)
    classes = np.arange(len(voxels)) % 3
    every = pairs_in_reach(voxels, classes, radiating, Reach(0, 0, 1, 1, 1000))
    few = pairs_in_reach(voxels, classes, radiating, Reach(0, 0, 1, 1, 4))
    count = len(voxels)
    assert len(every.gaps) == count * (count - 1) // 2
    corners = [(p.min(axis=0), p.max(axis=0)) for p in np.split(voxels.positions, voxels.starts[1:-1])]
    apart = [(corners[a][0] > corners[b][1]).any() or (corners[b][0] > corners[a][1]).any() for a, b in few.fragments]
    assert np.bincount(few.fragments[apart, 1], minlength=count).max() == 4
    assert set(map(tuple, few.fragments.tolist())) <= set(map(tuple, every.fragments.tolist()))


@pytest.mark.parametrize("foreign", [0.5, 1.0, 2.0])
def test_partners_of_another_class_count_as_farther(foreign: float) -> None:
    event, owner = random_event(5, fragments=40, most=20)
    voxels = FragmentVoxels.sort(event["coordinates"], owner)
    classes, radiating = np.arange(len(voxels)) % 2, np.ones(len(voxels), bool)
    few = pairs_in_reach(voxels, classes, radiating, Reach(0, 0, 1, 1, 5, foreign))
    corners = [(p.min(axis=0), p.max(axis=0)) for p in np.split(voxels.positions, voxels.starts[1:-1])]

    def remoteness(larger: int, smaller: int) -> tuple[float, float]:
        (low, high), (other_low, other_high) = corners[larger], corners[smaller]
        gap = np.linalg.norm(np.maximum(np.maximum(low - other_high, other_low - high), 0))
        return gap, gap / np.cbrt(voxels.sizes[larger]) * (1 if classes[larger] == classes[smaller] else foreign)

    order = np.argsort(-voxels.sizes, kind="stable")
    for place, smaller in enumerate(order):
        values = dict(zip(order[:place].tolist(), (remoteness(one, smaller) for one in order[:place]), strict=True))
        distant = sorted(value for gap, value in values.values() if gap > 0)
        chosen = few.fragments[few.fragments[:, 1] == smaller, 0].tolist()
        found = sorted(values[one][1] for one in chosen if values[one][0] > 0)
        np.testing.assert_allclose(found, distant[:5])
        assert {one for one, (gap, _) in values.items() if gap == 0} <= set(chosen)


@given(values=st.lists(st.integers(0, 6), max_size=30), most=st.integers(0, 12))
def test_the_least_values_are_those_of_a_sort(values: list[int], most: int) -> None:
    numbers = np.array(values, float)
    limit, left = _least(numbers, most)
    chosen = []
    for place, value in enumerate(numbers):
        if value > limit or (value == limit and left == 0):
            continue
        left -= value == limit
        chosen.append(place)
    assert chosen == np.sort(np.argsort(numbers, kind="stable")[:most]).tolist()


def test_gaps_of_boxes_in_vectors_are_those_of_single_ones() -> None:
    rng = np.random.default_rng(0)
    lows = rng.integers(0, 30, (40, 3)).astype(float)
    highs = lows + rng.integers(0, 9, (40, 3))
    gaps = np.empty(40)
    _box_gaps(np.ascontiguousarray(lows.T), np.ascontiguousarray(highs.T), 39, gaps)
    apart = np.maximum(np.maximum(lows[39] - highs, lows - highs[39]), 0)
    np.testing.assert_array_equal(gaps[:39], np.square(apart).sum(axis=1)[:39])
