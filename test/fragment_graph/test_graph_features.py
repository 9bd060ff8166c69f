"""The features of fragments and pairs: slow versions, and what must not change them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from graph_events import random_event, reordered

from mlreco.errors import UserError
from mlreco.iotools.augmentation import CubeSymmetry
from mlreco.post_processing.fragment_graph import Reach, build_graph, feature_counts
from mlreco.post_processing.fragment_graph.blocks import FragmentVoxels
from mlreco.post_processing.fragment_graph.link_features import LINK_FEATURES, MANY, _ranks
from mlreco.post_processing.fragment_graph.node_features import node_feature_names
from mlreco.post_processing.fragment_graph.shapes import fragment_shapes
from mlreco.semantics import PILARNET

WIDE = Reach(50, 400, 1, 1, 100)
NODES = node_feature_names(PILARNET)


class Contact(NamedTuple):
    """Where a fragment touches a track, by all distances between their voxels."""

    track: int
    gap: float
    centre: np.ndarray
    touching: int
    beside: float


def slow_contacts(event, owner, edges) -> list[Contact]:
    """Compare each fragment that is no track with every track with which it forms a pair."""
    contacts = []
    of_track = {number: event["semantics"][owner == number][0] < 2 for number in range(owner.max() + 1)}
    for number in range(owner.max() + 1):
        partners = [int(one) for edge in edges for one in edge if number in edge and one != number]
        points = event["coordinates"][owner == number].astype(np.float64)
        best = Contact(-1, 1024, np.full(3, np.nan), 0, 0)
        for track in sorted(partners, key=lambda one: -(owner == one).sum()):
            if of_track[number] or not of_track[track]:
                continue
            nearest = np.linalg.norm(points[:, None] - event["coordinates"][owner == track], axis=2).min(axis=1)
            gap = nearest.min()
            if gap < best.gap:
                near = nearest <= gap + 1
                best = Contact(track, gap, points[near].mean(axis=0), near.sum(), (nearest <= gap + 3).mean())
        contacts.append(best)
    return contacts


def column(table: np.ndarray, names: tuple[str, ...], name: str) -> np.ndarray:
    return table[:, names.index(name)].astype(np.float64)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def or_alone(way: np.ndarray) -> float:
    """Return the length of a vector, or what stands for the distance of what is not there."""
    length = np.linalg.norm(way)
    return 1024 if np.isnan(length) else length


@pytest.fixture(scope="module")
def graph_of_event():
    event, owner = random_event(5)
    return event, owner, build_graph(event, owner, PILARNET, WIDE)


def test_node_features_are_those_of_a_slow_version(graph_of_event):
    event, owner, graph = graph_of_event
    assert graph.nodes.shape == (owner.max() + 1, feature_counts(PILARNET)[0])
    sizes, contacts = np.bincount(owner), slow_contacts(event, owner, graph.edges)
    for number in range(owner.max() + 1):
        rows = owner == number
        energies, points = event["energies"][rows].astype(np.float64), event["coordinates"][rows]
        inside = np.minimum(points, event["image_shape"] - 1 - points).min()
        partners = graph.edges[(graph.edges == number).any(axis=1)]
        larger = graph.edges[:, 0][graph.edges[:, 1] == number]
        gaps = [
            np.linalg.norm(points[:, None] - event["coordinates"][owner == other], axis=2).min() for other in larger
        ]
        spread = event["embeddings"][rows].astype(np.float64).var(axis=0).sum() ** 0.5
        expected = {
            "log_voxels": np.log(rows.sum()),
            "log_energy": np.log(energies.sum() + 1e-3),
            "log_mean_energy": np.log(energies.mean() + 1e-3),
            "energy_spread": energies.std() / (energies.mean() + 1e-3),
            "log_margin": np.log(event["margins"][rows].mean() + 1e-4),
            "seediness": event["seediness"][rows].mean(),
            "highest_seediness": event["seediness"][rows].max(),
            "log_embedding_spread": np.log(spread + 1e-3),
            "log_rank": np.log1p((sizes > rows.sum()).sum()),
            "share_of_voxels": rows.mean(),
            "share_of_energy": energies.sum() / event["energies"].astype(np.float64).sum(),
            "log_gap_to_larger": np.log1p(min(gaps, default=1024)),
            "log_partners": np.log1p(len(partners)),
            "log_fragments": np.log(len(sizes)),
            "border": np.exp(-inside / 10),
            "log_gap_to_track": np.log1p(contacts[number].gap),
            "log_touching_voxels": np.log1p(contacts[number].touching),
            "beside_track": contacts[number].beside,
            "score_MIP": event["scores"][rows, 1].mean(),
            "highest_score_Delta": event["scores"][rows, 3].max(),
            "made_in_Shower": float(event["semantics"][rows][0] == 2),
        }
        for name, value in expected.items():
            assert column(graph.nodes, NODES, name)[number] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_shape_features_follow_from_the_shapes(graph_of_event):
    event, owner, graph = graph_of_event
    voxels = FragmentVoxels.sort(event["coordinates"], owner)
    shapes = fragment_shapes(voxels.positions, event["energies"][voxels.rows].astype(np.float64), voxels.starts)
    first, second, third = shapes.spreads.T
    expected = {
        "log_length": np.log1p(np.linalg.norm(shapes.ends - shapes.beginnings, axis=1)),
        "log_spread_0": np.log1p(first),
        "linearity": (first - second) / np.maximum(first, 1e-9),
        "planarity": (second - third) / np.maximum(first, 1e-9),
        "opening": shapes.opening,
        "log_charge_at_beginning": np.log(shapes.charges[:, 0] + 1e-3),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(column(graph.nodes, NODES, name), values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_link_features_are_those_of_a_slow_version(graph_of_event):
    event, owner, graph = graph_of_event
    voxels = FragmentVoxels.sort(event["coordinates"], owner)
    shapes = fragment_shapes(voxels.positions, event["energies"][voxels.rows].astype(np.float64), voxels.starts)
    positions, contacts = event["coordinates"].astype(np.float64), slow_contacts(event, owner, graph.edges)
    ranks, beyond = {}, {}
    for name, power in (("gap", 1.0), ("embedding", 1e-3)):
        column_name = {"gap": "log_gap", "embedding": "log_embedding_distance"}[name]
        distances = np.exp(column(graph.links, LINK_FEATURES, column_name)) - power
        own = [distances[graph.edges[:, 1] == b] for _, b in graph.edges]
        ranks[name] = [(one < distances[row] - 1e-4).sum() for row, one in enumerate(own)]
        beyond[name] = [distances[row] - one.min() for row, one in enumerate(own)]
    for row, (a, b) in enumerate(graph.edges):
        of_a, of_b = np.flatnonzero(owner == a), np.flatnonzero(owner == b)
        table = np.linalg.norm(positions[of_a][:, None] - positions[of_b], axis=2)
        i, j = np.unravel_index(table.argmin(), table.shape)
        p, q = of_a[i], of_b[j]
        gap = unit(positions[q] - positions[p])
        centres = positions[of_a].mean(axis=0), positions[of_b].mean(axis=0)
        between = centres[1] - centres[0]
        way = centres[1] - shapes.beginnings[a]
        length = max(np.linalg.norm(shapes.ends[a] - shapes.beginnings[a]), 1)
        near = of_a[np.linalg.norm(positions[of_a] - positions[p], axis=1) <= 8]
        offset = (positions[near] - positions[p]).mean(axis=0)
        cross = np.cross(shapes.axes[a], shapes.axes[b])
        axis = shapes.axes[a]
        off = np.linalg.norm(between - (between @ axis) * axis)
        apart = off if np.linalg.norm(cross) < 1e-6 else abs(between @ unit(cross))
        means = [event["embeddings"][rows].astype(np.float64).mean(axis=0) for rows in (of_a, of_b)]
        scores = [event["scores"][rows].astype(np.float64).mean(axis=0) for rows in (of_a, of_b)]
        distance = np.linalg.norm(means[0] - means[1])
        expected = {
            "log_gap": np.log1p(table.min()),
            "log_centroid_distance": np.log1p(np.linalg.norm(between)),
            "axes_cosine": abs(shapes.axes[a] @ shapes.axes[b]),
            "larger_axis_along_gap": abs(axis @ gap),
            "smaller_axis_along_gap": abs(shapes.axes[b] @ gap),
            "larger_points_at_smaller": axis @ unit(way),
            "smaller_points_from_larger_beginning": shapes.axes[b] @ unit(way),
            "log_larger_beginning_off_smaller_axis": np.log1p(
                np.linalg.norm(way - (way @ shapes.axes[b]) * shapes.axes[b])
            ),
            "log_rank_of_gap": np.log1p(ranks["gap"][row]),
            "embedding_beyond_nearest": beyond["embedding"][row],
            "log_off_larger_axis": np.log1p(off),
            "log_lines_apart": np.log1p(apart),
            "log_from_larger_beginning": np.log1p(np.linalg.norm(way)),
            "log_between_beginnings": np.log1p(np.linalg.norm(shapes.beginnings[a] - shapes.beginnings[b])),
            "along_larger": np.clip(axis @ way / length, -5, 5),
            "larger_offset_along_gap": offset @ gap,
            "larger_offset": np.linalg.norm(offset),
            "log_larger_local_energy": np.log(event["energies"][near].astype(np.float64).mean() + 1e-3),
            "log_larger_local_voxels": np.log(len(near)),
            "log_embedding_distance": np.log(distance + 1e-3),
            "log_embedding_distance_at_gap": np.log(
                np.linalg.norm(event["embeddings"][p] - event["embeddings"][q]) + 1e-3
            ),
            "log_distance_in_smaller_margins": np.log(distance / (event["margins"][of_b].mean() + 1e-4) + 1e-3),
            "scores_agree": scores[0] @ scores[1],
            "scores_agree_at_gap": event["scores"][p] @ event["scores"][q],
            "same_class": float(event["semantics"][p] == event["semantics"][q]),
            "log_size_ratio": np.log(len(of_a) / len(of_b)),
            "log_between_contacts": np.log1p(or_alone(contacts[a].centre - contacts[b].centre)),
            "log_from_larger_contact": np.log1p(or_alone(contacts[a].centre - positions[p])),
            "log_from_smaller_contact": np.log1p(or_alone(contacts[b].centre - positions[q])),
            "same_track": float(contacts[a].track == contacts[b].track >= 0),
        }
        for name, value in expected.items():
            assert graph.links[row, LINK_FEATURES.index(name)] == pytest.approx(value, rel=1e-4, abs=1e-4), name


def test_a_delta_ray_touches_its_track_where_it_starts():
    """Two rays on one track: how many of their voxels touch it and lie beside it, and how far apart they start."""
    track = [(x, 20, 20) for x in range(10, 50)]
    rays = [[(20, 21 + k, 20) for k in range(8)], [(26, 21 + k, 20) for k in range(8)]]
    points = np.array(track + rays[0] + rays[1])
    event, _ = random_event(0)
    event = {**reordered(event, np.arange(len(points)) % len(event["energies"])), "coordinates": points}
    owner = np.repeat(np.arange(3), [40, 8, 8]).astype(np.int32)
    event["semantics"] = np.where(owner == 0, PILARNET.number("MIP"), PILARNET.number("Delta"))
    graph = build_graph(event, owner, PILARNET, WIDE)
    assert column(graph.nodes, NODES, "log_gap_to_track") == pytest.approx(np.log1p([1024, 1, 1]))
    assert column(graph.nodes, NODES, "log_touching_voxels") == pytest.approx(np.log1p([0, 2, 2]))
    assert column(graph.nodes, NODES, "beside_track") == pytest.approx([0, 4 / 8, 4 / 8])
    row = graph.edges.tolist().index([1, 2])
    links = {name: graph.links[row, LINK_FEATURES.index(name)] for name in LINK_FEATURES}
    assert links["log_between_contacts"] == pytest.approx(np.log1p(6))
    assert links["same_track"] == 1.0
    of_track = graph.links[graph.edges.tolist().index([0, 1]), LINK_FEATURES.index("log_between_contacts")]
    assert of_track == pytest.approx(np.log1p(1024))


def test_ranks_among_partners():
    smaller, distances = np.array([3, 3, 3, 3, 1, 1, 7]), np.array([5.0, 4.0, 5.0, 9.0, 2.0, 2.0, 1.0])
    many = np.random.default_rng(0).integers(1, 50, MANY + 1)
    smaller, distances = np.append(smaller, np.full(len(many), 9)), np.append(distances, many)
    ranks, beyond = _ranks(smaller, distances)
    for row in range(len(smaller)):
        others = distances[smaller == smaller[row]]
        assert ranks[row] == (others < distances[row]).sum()
        assert beyond[row] == distances[row] - others.min()


def test_the_order_of_rows_changes_nothing(graph_of_event):
    event, owner, graph = graph_of_event
    rows = np.random.default_rng(0).permutation(len(owner))
    again = build_graph(reordered(event, rows), owner[rows], PILARNET, WIDE)
    for name in ("nodes", "edges", "links", "classes", "sizes"):
        assert np.array_equal(getattr(graph, name), getattr(again, name)), name


def test_the_numbers_of_fragments_only_name_them(graph_of_event):
    event, owner, graph = graph_of_event
    new = np.random.default_rng(1).permutation(owner.max() + 1)
    again = build_graph(event, new[owner].astype(np.int32), PILARNET, WIDE)
    np.testing.assert_array_equal(again.nodes[new], graph.nodes)
    sizes = graph.sizes
    if len(set(sizes.tolist())) == len(sizes):
        mine = {tuple(new[edge]): link for edge, link in zip(graph.edges, graph.links, strict=True)}
        for edge, link in zip(again.edges, again.links, strict=True):
            np.testing.assert_allclose(link, mine[tuple(edge)], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("flips", "axes"),
    list(itertools.product([(True, False, False), (True, True, True)], [(0, 1, 2), (1, 2, 0), (2, 1, 0)])),
)
def test_the_symmetries_of_a_cube_change_nothing(graph_of_event, flips, axes):
    event, owner, graph = graph_of_event
    moved = CubeSymmetry(flips, axes).voxels(event["coordinates"], tuple(event["image_shape"]))
    again = build_graph({**event, "coordinates": moved}, owner, PILARNET, WIDE)
    np.testing.assert_allclose(again.nodes, graph.nodes, rtol=1e-4, atol=1e-4)
    mine = {tuple(edge): link for edge, link in zip(graph.edges.tolist(), graph.links, strict=True)}
    assert len(again.edges) == len(mine)
    for edge, link in zip(again.edges.tolist(), again.links, strict=True):
        np.testing.assert_allclose(link, mine[tuple(edge)], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("count", [0, 1])
def test_few_voxels_make_a_graph(count):
    event, _ = random_event(0)
    event = reordered(event, np.arange(count))
    graph = build_graph(event, np.zeros(count, np.int32), PILARNET)
    assert graph.nodes.shape == (count, feature_counts(PILARNET)[0])
    assert graph.links.shape == (0, feature_counts(PILARNET)[1])
    assert np.isfinite(graph.nodes).all()


def test_voxels_in_no_fragment_do_not_matter(graph_of_event):
    event, owner, graph = graph_of_event
    more = {name: np.concatenate([rows, rows[:7]]) for name, rows in event.items() if name != "image_shape"}
    more["coordinates"] = np.concatenate([event["coordinates"], event["coordinates"][:7] + 1])
    more["image_shape"] = event["image_shape"]
    again = build_graph(more, np.append(owner, np.full(7, -1)).astype(np.int32), PILARNET, WIDE)
    assert np.array_equal(graph.nodes, again.nodes)
    assert np.array_equal(graph.links, again.links)


def test_values_that_are_no_numbers_are_refused():
    event, owner = random_event(0)
    event["embeddings"][3, 1] = np.nan
    with pytest.raises(UserError, match="embeddings hold nan in row 3"):
        build_graph(event, owner, PILARNET)


def test_five_thousand_fragments_of_a_voxel_make_a_graph():
    rng = np.random.default_rng(0)
    coordinates = np.unique(rng.integers(0, 512, (5000, 3)), axis=0)
    count = len(coordinates)
    event = {
        "coordinates": coordinates,
        "energies": rng.random(count),
        "embeddings": rng.normal(size=(count, 3)),
        "margins": rng.random(count),
        "seediness": rng.random(count),
        "scores": np.full((count, 5), 0.2),
        "semantics": np.full(count, 2),
        "image_shape": np.array([512, 512, 512]),
    }
    graph = build_graph(event, np.arange(count, dtype=np.int32), PILARNET)
    assert len(graph.nodes) == count
    assert np.isfinite(graph.nodes).all()
    assert np.isfinite(graph.links).all()
