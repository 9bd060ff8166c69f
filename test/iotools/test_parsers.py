from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_samples import META, clusters, image, particles

from mlreco.errors import UserError
from mlreco.iotools import ClusterVoxels, LArCV3Reader
from mlreco.iotools.parsers import (
    find_parser,
    parse_cluster3d,
    parse_cluster3d_clean_full,
    parse_particles,
    parse_sparse3d,
)
from mlreco.iotools.parsers.sharing import PRECEDENCE
from mlreco.semantics import SCHEMES
from mlreco.voxels import CLUSTER_COLUMNS, EventVoxels, ImageMeta

TYPES = {22: 0, 11: 1, -11: 1, 13: 2, -13: 2, 211: 3, -211: 3, 2212: 4}


def slow_labels(sets, table, semantics, energies, scheme):
    """One voxel after another, with dictionaries and sorting."""
    order = [SCHEMES[scheme].number(name) for name in PRECEDENCE[scheme]]
    classes, deposits = (
        dict(zip(map(tuple, blob.coordinates.tolist()), blob.features[:, 0].tolist(), strict=True))
        for blob in (semantics, energies)
    )
    votes = [Counter() for _ in range(sets.num_sets)]
    claims = {}
    members = zip(sets.coordinates.tolist(), sets.sets.tolist(), sets.values.tolist(), strict=True)
    for position, number, value in members:
        row = tuple(position)
        if row in classes:
            if classes[row] >= 0:
                votes[number][classes[row]] += 1
            claims.setdefault(row, []).append((number, value))
    ranks = []
    for vote in votes:
        best = sorted((-count, order.index(name)) for name, count in vote.items())
        ranks.append(best[0][1] if best else len(order))
    labels = []
    for row in sorted(classes):
        owner = -1
        if row in claims:
            owner = min((ranks[number], -value, number) for number, value in claims[row])[2]
        own_deposit = dict(claims.get(row, ())).get(owner, 0.0)
        if owner == len(table):
            owner = -1
        label = [deposits.get(row, own_deposit), owner, -1, -1, -1, -1, classes[row]]
        if owner >= 0:
            one = table[owner]
            known = one["process"] != b""
            primary = one["process"] == b"primary" or one["parent_trackid"] == 0
            label[2:6] = [one["mcst_index"], one["mct_index"], TYPES.get(int(one["pdg"]), -1), primary if known else -1]
        labels.append(label)
    return np.array(labels, dtype=np.float32).reshape(-1, 7)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(0, 25), min_size=1, max_size=6),
    voxels=st.integers(0, 60),
    scheme=st.sampled_from(["pilarnet", "mlreco"]),
    unassigned=st.booleans(),
    equal_values=st.booleans(),
)
def test_clean_full_equals_a_plain_loop(seed, sizes, voxels, scheme, unassigned, equal_values):
    rng = np.random.default_rng(seed)
    meta = ImageMeta((4, 5, 3))
    sets = clusters(rng, sizes, meta)
    if equal_values:
        sets = ClusterVoxels(sets.coordinates, np.ones_like(sets.values), sets.sets, sets.num_sets, meta)
    table = particles(rng, len(sizes) - unassigned)
    semantics = image(rng, voxels, meta, rng.integers(-1, 5, voxels))
    energies = image(rng, min(voxels, 40), meta)
    found = parse_cluster3d_clean_full(sets, table, None, semantics, energies, class_scheme=scheme)
    assert found.columns == CLUSTER_COLUMNS and found.features.dtype == np.float64
    np.testing.assert_array_equal(found.coordinates, semantics.coordinates)
    np.testing.assert_array_equal(found.features, slow_labels(sets, table, semantics, energies, scheme))


def test_real_events(shared_data):
    reader = LArCV3Reader(shared_data / "real_events.h5")
    for index, (producer, scheme) in enumerate(
        [
            ("pcluster_semantics", "pilarnet"),
            ("pcluster_semantics_mlreco", "mlreco"),
            ("pcluster_semantics_mlreco", "mlreco"),
        ]
    ):
        sets, table = reader.cluster3d(index, "pcluster"), reader.particles(index, "pcluster")
        semantics, energies = reader.sparse3d(index, producer), reader.sparse3d(index, "pcluster")
        found = parse_cluster3d_clean_full(sets, table, None, semantics, energies, class_scheme=scheme)
        np.testing.assert_array_equal(found.features, slow_labels(sets, table, semantics, energies, scheme))
        np.testing.assert_array_equal(found.column("value"), energies.features[:, 0])
        without = int((found.column("cluster") < 0).sum())
        assert without == (0, 113, 0)[index]
        if index == 0:
            classes = found.column("semantic")[found.column("cluster") == 2]
            assert min(Counter(classes.tolist()).values()) == 4
        if index == 2:
            _, counts = np.unique(sets.coordinates, axis=0, return_counts=True)
            assert (counts > 1).sum() == 11 and len(found) == len(counts)


def test_simulated_events_keep_their_instances(shared_data):
    """In lar_sim's files every voxel is in exactly one set."""
    reader = LArCV3Reader(shared_data / "larcv3_reference.h5")
    for index in range(3):
        sets, table = reader.cluster3d(index, "pcluster"), reader.particles(index, "pcluster")
        found = parse_cluster3d_clean_full(sets, table, None, reader.sparse3d(index, "pcluster_semantics"))
        order = np.lexsort(sets.coordinates.T[::-1])
        np.testing.assert_array_equal(found.coordinates, sets.coordinates[order])
        np.testing.assert_array_equal(found.column("cluster"), sets.sets[order])
        np.testing.assert_array_equal(found.column("value"), sets.values[order])
        np.testing.assert_array_equal(found.column("interaction"), table["mct_index"][sets.sets[order]])


def test_precedence_option_and_missing_particles():
    coordinates = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 2]], np.int32)
    sets = ClusterVoxels(coordinates, np.array([1, 5, 2, 1], np.float32), np.array([0, 0, 1, 1], np.int32), 2, META)
    semantics = EventVoxels(coordinates[[0, 1, 3]], np.array([[2.0], [-1], [1]], np.float32), ("s",), META)
    labels = parse_cluster3d_clean_full(sets, None, None, semantics)
    assert labels.column("cluster").tolist() == [0, 1, 1]
    assert labels.column("value").tolist() == [1, 2, 1]
    assert labels.column("group").tolist() == labels.column("primary").tolist() == [-1, -1, -1]
    reverse = ["Shower", "MIP", "HIP", "Delta", "Michel"]
    assert parse_cluster3d_clean_full(sets, None, None, semantics, precedence=reverse).column("cluster").tolist() == [
        0,
        0,
        1,
    ]
    with pytest.raises(UserError, match="did you mean 'Shower'"):
        parse_cluster3d_clean_full(sets, None, None, semantics, precedence=["Showr"])
    with pytest.raises(UserError, match="each class once"):
        parse_cluster3d_clean_full(sets, None, None, semantics, precedence=["HIP"])


def test_mismatches():
    rng = np.random.default_rng(0)
    sets, semantics = clusters(rng, [3, 4, 5]), image(rng, 20)
    for count in (0, 1, 4):
        with pytest.raises(UserError, match=f"{count} particles for 3 voxel sets"):
            parse_cluster3d_clean_full(sets, particles(rng, count), None, semantics)
    with pytest.raises(UserError, match="needs 'sparse_semantics_event'"):
        parse_cluster3d_clean_full(sets)
    with pytest.raises(UserError, match="with classes of an image"):
        parse_cluster3d_clean_full(sets, None, None, image(rng, 3, ImageMeta((9, 9, 9))))


def test_empty_event():
    rng = np.random.default_rng(0)
    labels = parse_cluster3d_clean_full(clusters(rng, [0]), particles(rng, 0), None, image(rng, 0))
    assert labels.features.shape == (0, 7) and labels.coordinates.shape == (0, 3)
    assert parse_cluster3d(clusters(rng, [])).features.shape == (0, 2)


def test_parse_cluster3d():
    coordinates = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 2]], np.int32)
    sets = ClusterVoxels(coordinates, np.array([1, 2, 5, 1], np.float32), np.array([0, 0, 1, 1], np.int32), 2, META)
    found = parse_cluster3d(sets)
    assert found.columns == ("value", "cluster")
    assert found.features.tolist() == [[1, 0], [5, 1], [1, 1]]
    values = EventVoxels(coordinates[[1]], np.array([[9.0]], np.float32), ("v",), META)
    assert parse_cluster3d(sets, sparse_value_event=values).column("value").tolist() == [1, 9, 1]
    semantics = EventVoxels(coordinates[[1]], np.array([[1.0]], np.float32), ("s",), META)
    full = parse_cluster3d(sets, sparse_semantics_event=semantics, add_particle_info=True)
    assert full.columns == CLUSTER_COLUMNS and full.column("cluster").tolist() == [1]
    with pytest.raises(UserError, match="needs 'sparse_semantics_event'"):
        parse_cluster3d(sets, clean_data=True)


def test_parse_sparse3d():
    rng = np.random.default_rng(0)
    one = image(rng, 10)
    other = EventVoxels(one.coordinates, one.features * 2, ("other",), META)
    joined = parse_sparse3d(sparse_event_list=[one, other])
    assert joined.columns == ("pcluster", "other")
    np.testing.assert_array_equal(joined.features, np.hstack([one.features, one.features * 2]))
    assert parse_sparse3d(one) is one
    with pytest.raises(UserError, match="have different voxels"):
        parse_sparse3d(sparse_event_list=[one, image(rng, 9)])
    with pytest.raises(UserError, match="needs 'sparse_event'"):
        parse_sparse3d()


def test_parse_particles():
    rng = np.random.default_rng(0)
    table = particles(rng, 4)
    assert parse_particles(table) is table
    voxels = parse_particles(table, sparse_event=image(rng, 3))
    np.testing.assert_allclose(voxels["vtx"]["y"], (table["vtx"]["y"] - 2.0) / 0.3)
    assert (voxels["px"] == table["px"]).all()
    assert parse_particles(table, sparse_event=image(rng, 3), voxel_coordinates=False) is table


def test_names():
    assert find_parser("parse_sparse3d_scn") is parse_sparse3d
    assert find_parser("mlreco.iotools.parsers.sparse:parse_sparse3d") is parse_sparse3d
    with pytest.raises(UserError, match="no parser 'parse_sparse3D'; did you mean 'parse_sparse3d'"):
        find_parser("parse_sparse3D")
