"""The stages fragmenter and grappa, the file of fragments between them, and how all of it refuses what is wrong."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakSet

import numpy as np
import pytest
import torch
from graph_events import random_event
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from mlreco.config import load_config
from mlreco.errors import UserError
from mlreco.graph_batch import LabelledGraph, join_graphs
from mlreco.inference import recluster, run_inference
from mlreco.inference.fragment_cache import cache_fragments
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.iotools.output.graphs import FragmentReader
from mlreco.models.chain import running_order
from mlreco.models.grappa import Fragmenter, Grappa
from mlreco.models.grappa.passes import BOUND, _exponentiate
from mlreco.models.weights import load_state
from mlreco.post_processing import evaluate
from mlreco.post_processing.fragment_graph import (
    FEATURE_VERSION,
    build_graph,
    fragment_truth,
    make_fragments,
    resolve_fragment_thresholds,
)
from mlreco.post_processing.fragment_graph.fragmenting import FragmentThresholds
from mlreco.post_processing.fragment_graph.linked_voxels import linked_voxels
from mlreco.post_processing.fragment_graph.pair_tables import PAIR_TABLES
from mlreco.post_processing.processors.graph_clusterer import GraphInstances
from mlreco.post_processing.tuning import tune_graph
from mlreco.semantics import PILARNET
from mlreco.training import train

CONFIG = Path(__file__).parents[2] / "config"
THIN, GRAPPA = CONFIG / "thin.cfg", CONFIG / "grappa.cfg"
FEW = "iotool.dataset.entry_range=[0,3]"


@pytest.fixture(scope="module")
def graphs():
    found = []
    for seed in range(3):
        event, owner = random_event(seed)
        found.append(LabelledGraph(build_graph(event, owner, PILARNET)))
    return found


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Grappa(PILARNET, width=16, link_width=8, rounds=2).eval()


def scores_of(network, graphs):
    with torch.inference_mode():
        made = network({"fragment_graph": join_graphs(graphs)})
    return {name: made[name].values for name in Grappa.provides}


def test_the_scores_of_an_event_do_not_depend_on_its_batch(graphs, network):
    together = scores_of(network, graphs)
    alone = [scores_of(network, [one]) for one in graphs]
    for name, values in together.items():
        assert torch.equal(values, torch.cat([one[name] for one in alone])), name


def test_offsets_multiply_the_odds_of_a_class_outside_of_the_loss(graphs, network):
    moved = Grappa(PILARNET, width=16, link_width=8, rounds=2, class_offsets={"Delta": 1.0}).eval()
    moved.load_state_dict(network.state_dict())
    before, after = (scores_of(one, graphs)["fragment_class_scores"][:, 3].double() for one in (network, moved))
    torch.testing.assert_close(after / (1 - after), np.e * before / (1 - before), rtol=1e-4, atol=0)
    batch = {"fragment_graph": join_graphs(graphs)}
    logits = [one(batch)["graph_logits"]["class"] for one in (network, moved)]
    torch.testing.assert_close(*logits, rtol=0, atol=0)


def test_passes_without_gradients_give_what_torch_gives(graphs):
    torch.manual_seed(1)
    network = Grappa(PILARNET, width=24, link_width=16, rounds=2).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    batch = join_graphs(graphs)
    with torch.enable_grad():
        wanted = network({"fragment_graph": batch})["graph_logits"]
    with torch.no_grad():
        found = network({"fragment_graph": batch})["graph_logits"]
    assert all(values.requires_grad for values in wanted.values())
    for name, values in found.items():
        torch.testing.assert_close(values, wanted[name].detach(), rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("gradients", [False, True])
def test_mixed_precision_changes_no_score(graphs, dtype, gradients):
    network = Grappa(PILARNET, width=16, link_width=8, rounds=2).eval()
    for of_side in network.rounds.node_updates[0].weights:
        of_side.bias.data += 12  # exp(12) is beyond float16
    batch = join_graphs(graphs)
    with torch.set_grad_enabled(gradients):
        wanted = network({"fragment_graph": batch})["graph_logits"]
        with torch.autocast("cpu", dtype):
            found = network({"fragment_graph": batch})["graph_logits"]
    for name, values in found.items():
        assert torch.equal(values, wanted[name]) and values.isfinite().all(), name


def test_changed_weights_are_noticed(graphs):
    network = Grappa(PILARNET, width=16, link_width=8, rounds=1).eval()
    scores_of(network, graphs)
    network.rounds.last.out.weight.data *= 2
    network.node_head[1].bias.data += 1
    with torch.enable_grad():
        wanted = network({"fragment_graph": join_graphs(graphs)})["graph_logits"]
    found = scores_of(network, graphs)
    torch.testing.assert_close(found["fragment_edge_scores"], wanted["instance"].detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        found["fragment_start_scores"], torch.sigmoid(wanted["start"].detach()), rtol=1e-5, atol=1e-5
    )


def test_exponentials_are_those_of_numpy():
    values = np.concatenate([np.linspace(-9, 9, 10_001), [0, BOUND, -BOUND, np.inf, -np.inf]]).astype(np.float32)
    found = values.copy()
    _exponentiate(found, np.empty(len(found), np.int32))
    np.testing.assert_allclose(found, np.exp(values.astype(np.float64).clip(-BOUND, BOUND)), rtol=3e-7)


def test_a_norm_that_somebody_watches_is_called(graphs):
    network, seen = Grappa(PILARNET, width=16, link_width=8, rounds=1).eval(), []
    network.rounds.last.norm.register_forward_hook(lambda *_: seen.append(True))
    scores_of(network, graphs[:1])
    assert seen == [True]


def test_the_order_of_pairs_changes_no_score(graphs, network):
    graph = graphs[0].graph
    order = np.random.default_rng(0).permutation(len(graph.edges))
    moved = type(graph)(graph.nodes, graph.edges[order], graph.links[order], graph.classes, graph.sizes)
    mine, other = scores_of(network, [graphs[0]]), scores_of(network, [LabelledGraph(moved)])
    torch.testing.assert_close(other["fragment_edge_scores"], mine["fragment_edge_scores"][order])
    torch.testing.assert_close(other["fragment_class_scores"], mine["fragment_class_scores"])


@pytest.mark.parametrize("count", [0, 1])
def test_few_fragments_have_scores(network, count):
    event, _ = random_event(0)
    event = {name: rows[:count] if name != "image_shape" else rows for name, rows in event.items()}
    one = LabelledGraph(build_graph(event, np.zeros(count, np.int32), PILARNET))
    found = scores_of(network, [one, one])
    assert found["fragment_class_scores"].shape == (2 * count, 5)
    assert len(found["fragment_edge_scores"]) == 0


def test_five_thousand_fragments_are_put_together(network):
    event, _ = random_event(0, fragments=500, most=30)
    count = min(len(event["coordinates"]), 5000)
    event = {name: rows[:count] if name != "image_shape" else rows for name, rows in event.items()}
    fragments = np.arange(count, dtype=np.int32)
    found = scores_of(network, [LabelledGraph(build_graph(event, fragments, PILARNET))])
    made = GraphInstances().process(
        {"fragments": fragments, **{name: values.numpy() for name, values in found.items()}}, PILARNET
    )
    assert count == 5000 == len(found["fragment_class_scores"])
    assert all(torch.isfinite(values).all() for values in found.values())
    instances = made["instances"]
    assert np.array_equal(np.unique(instances), np.arange(instances.max() + 1))
    assert len(made["instance_interactions"]) == len(made["instance_confidences"]) == instances.max() + 1


def test_a_chain_that_lacks_what_fragments_are_cut_by_is_refused():
    class Cut(torch.nn.Module):
        requires, provides = ("image",), ("embeddings", "margins", "seediness", "semantics")

    with pytest.raises(UserError, match=r"model\.modules\.fragmenter requires 'segmentation', which no stage"):
        running_order({"spice": Cut(), "fragmenter": Fragmenter(PILARNET)})
    assert running_order({"spice": Cut(), "fragmenter": Fragmenter(PILARNET, semantics="true")})[-1] == "fragmenter"
    with pytest.raises(UserError, match=r"model\.modules\.fragmenter requires 'embeddings', which no stage"):
        running_order({"fragmenter": Fragmenter(PILARNET, semantics="true")})


def test_features_are_standardised_as_in_the_first_batches(graphs):
    network = Grappa(PILARNET, width=16, link_width=8, rounds=0).train()
    for one in graphs:
        network({"fragment_graph": join_graphs([one])})
    encoder = network.rounds.node_encoder[0]
    every = np.concatenate([one.graph.nodes for one in graphs])
    np.testing.assert_allclose(encoder.mean, every.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoder.deviation, every.std(axis=0), rtol=1e-3, atol=1e-4)
    assert int(encoder.rows) == len(every)


def test_weights_of_other_features_are_refused(network):
    state = {**network.state_dict(), "feature_version": torch.tensor(0)}
    with pytest.raises(UserError, match=r"old\.ckpt: trained on version 0 of the features of fragments"):
        load_state(Grappa(PILARNET, width=16, link_width=8, rounds=2), state, "old.ckpt")


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        (Grappa, {"link_width": 12}, "link_width is 12; a multiple of 8"),
        (Grappa, {"width": 0}, "too few"),
        (Grappa, {"class_offsets": {"Muon": 1.0}}, "Muon"),
        (Fragmenter, {"semantics": "some"}, "semantics is 'some'"),
        (Fragmenter, {"near": -1}, "none may be negative"),
        (Fragmenter, {"thresholds": {"MIP": {"voxel_distance": 0}}}, "voxel_distance is 0; a number above 0"),
    ],
)
def test_bad_arguments_are_named(kind, arguments, text):
    with pytest.raises(UserError, match=text):
        kind(PILARNET, **arguments)


def test_fragments_are_the_components_of_links_within_a_class():
    rng = np.random.default_rng(0)
    coordinates = np.unique(rng.integers(0, 12, (300, 3)), axis=0)
    count = len(coordinates)
    embeddings, scores = rng.normal(size=(count, 2)) * 0.3, rng.random((count, 5)) * 0.3
    semantics = rng.integers(-1, 5, count)
    thresholds = dict.fromkeys(PILARNET.classes, FragmentThresholds(2.5, 0.5, 0.8))
    found = make_fragments(coordinates, embeddings, scores, semantics, thresholds, PILARNET)
    linked = (
        (np.square(coordinates[:, None] - coordinates).sum(-1) / 2.5**2)
        + (np.square(embeddings[:, None] - embeddings).sum(-1) / 0.5**2)
        + (np.square(scores[:, None] - scores).sum(-1) / 0.8**2)
    ) <= 1
    linked &= (semantics[:, None] == semantics) & (semantics >= 0)
    reached = np.eye(count, dtype=bool)
    while not np.array_equal(reached, grown := (reached.astype(int) @ (linked | np.eye(count, dtype=bool))) > 0):
        reached = grown
    assert ((found < 0) == (semantics < 0)).all()
    inside = semantics >= 0
    assert np.array_equal((found[:, None] == found)[inside][:, inside], reached[inside][:, inside])
    rows = rng.permutation(count)
    again = make_fragments(coordinates[rows], embeddings[rows], scores[rows], semantics[rows], thresholds, PILARNET)
    assert np.array_equal(again, found[rows])


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([1.8, 4.0, 9.0]))
def test_fragments_of_several_events_are_those_of_each(seed, reach):
    """Links longer than 8 voxels are found by a tree."""
    rng = np.random.default_rng(seed)
    events = [np.unique(rng.integers(0, 7, (rng.integers(0, 40), 3)), axis=0) for _ in range(4)]
    voxels = [
        (xyz, rng.normal(size=(len(xyz), 2)), rng.random((len(xyz), 5)), rng.integers(-1, 2, len(xyz)))
        for xyz in events
    ]
    thresholds = dict.fromkeys(PILARNET.classes, FragmentThresholds(reach, 2.0, 2.0))
    of_each = [make_fragments(*arrays, thresholds, PILARNET) for arrays in voxels]
    joined, number = map(np.concatenate, zip(*voxels, strict=True)), np.repeat(np.arange(4), list(map(len, events)))
    found = make_fragments(*joined, thresholds, PILARNET, number)
    np.testing.assert_array_equal(found, np.concatenate(of_each))


def test_images_that_cannot_be_numbered_have_the_same_fragments():
    rng = np.random.default_rng(3)
    places = np.unique(rng.integers(0, 9, (200, 3)), axis=0)
    arrays = rng.normal(size=(len(places), 2)), np.zeros((len(places), 5)), rng.integers(-1, 3, len(places))
    thresholds = dict.fromkeys(PILARNET.classes, FragmentThresholds(1.8, 2.0, 1.0))
    expected = make_fragments(places, *arrays, thresholds, PILARNET)
    late = np.full(len(places), 1 << 60)
    np.testing.assert_array_equal(make_fragments(places, *arrays, thresholds, PILARNET, late), expected)


@settings(max_examples=25)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.6, 1.0, 1.8, 2.5, 4.0]),
    st.sampled_from([0, 900_000]),
    st.sampled_from([np.float32, np.float64]),
)
def test_looking_lines_up_links_what_a_tree_links(seed, reach, far, dtype):
    """With a voxel far off the image has too many to number, and a tree is asked in any case."""
    rng = np.random.default_rng(seed)
    coordinates = np.unique(rng.integers(0, int(rng.integers(2, 12)), (int(rng.integers(1, 150)), 3)), axis=0)
    coordinates = np.vstack([coordinates, np.full(3, 20 + 4 * far)]) - 5
    alike = [
        (rng.normal(size=(len(coordinates), 2)).astype(dtype), 1.5),
        (rng.normal(size=(len(coordinates), 4)), np.inf),
    ]
    found = linked_voxels(coordinates, reach, alike)
    assert np.array_equal(found, linked_voxels(coordinates, reach, alike, swept=0.0))
    linked = np.square(coordinates[:, None] - coordinates).sum(-1) / reach**2
    linked += np.square(alike[0][0][:, None] - alike[0][0]).sum(-1) / 1.5**2
    assert np.array_equal(found, connected_components(linked <= 1)[1])


def test_truth_of_fragments():
    fragments = np.array([0, 0, 0, 1, 1, 2, -1, 3])
    instances = np.array([4, 4, 1, 1, 1, -1, 4, 0])
    semantics = np.array([1, 3, 3, 2, 2, -1, 1, 0])
    interactions = np.array([0, 0, 5, 5, 5, -1, 0, 2])
    coordinates = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [9, 0, 0], [5, 0, 0], [6, 0, 0], [7, 0, 0]])
    steps = np.full((5, 3), np.nan)
    steps[1], steps[4] = (9.4, 0.5, 0.5), (0.5, 0.5, 0.5)
    truth = fragment_truth(fragments, instances, semantics, interactions, coordinates, steps)
    assert truth.instances.tolist() == [4, 1, -1, 0]
    assert truth.semantics.tolist() == [3, 2, -1, 0]
    assert truth.interactions.tolist() == [0, 5, -1, 2]
    np.testing.assert_allclose(truth.purities, [2 / 3, 1, 0, 1])
    assert truth.starts.tolist() == [1, 1, 0, 0]
    assert fragment_truth(fragments, instances, semantics).starts.tolist() == [-1] * 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A file of fragments, weights trained on it for a few steps, and an output of the whole chain with these."""
    folder = tmp_path_factory.mktemp("graph")
    cache_fragments(load_config(THIN, [FEW]), folder / "fragments.h5")
    small = "model.modules.grappa={width: 16, link_width: 8, rounds: 1, model_path: null, write_pairs: true}"
    names = [f"trainval.weight_prefix={folder}/w", f"trainval.log_dir={folder}/log", "iotool.batch_size=2", small]
    config = load_config(GRAPPA, ["trainval.iterations=3", *names], sources=[folder / "fragments.h5"])
    weights = train(config)
    run_inference(load_config(THIN, [FEW, small]), folder / "output.h5", weights=weights)
    return folder


def test_an_output_holds_instances_beside_fragments(trained):
    with HDF5Reader(trained / "output.h5") as reader:
        assert evaluate(reader).fragments == "instances"
        for event in reader:
            fragments, instances = event["fragments"], event["instances"]
            assert (fragments >= 0).all()
            assert len(np.unique(np.stack([fragments, instances]), axis=1).T) == fragments.max() + 1
            assert len(event["instance_confidences"]) == instances.max() + 1 == len(event["instance_interactions"])
            assert len(event["fragment_class_scores"]) == fragments.max() + 1
            assert len(event["fragment_edges"]) == len(event["fragment_edge_scores"])
            expected = event["fragment_class_scores"].argmax(axis=1)[fragments]
            assert (event["semantics"] == expected).all()
            np.testing.assert_allclose(event["semantic_scores"].sum(axis=1), 1, rtol=1e-5)
            assert (event["semantic_scores"].argmax(axis=1) == event["semantics_predicted"]).all()


def test_the_file_of_fragments_holds_what_the_chain_scored(trained):
    cached = FragmentReader(trained / "fragments.h5")
    with HDF5Reader(trained / "output.h5") as reader:
        for index, event in enumerate(reader):
            one = cached.graph(index, "fragments")
            assert np.array_equal(one.graph.edges, event["fragment_edges"])
            assert np.array_equal(one.graph.sizes, np.bincount(event["fragments"]))
            expected = fragment_truth(event["fragments"], event["instances_true"], event["semantics_true"])
            assert np.array_equal(one.truth.instances, expected.instances)
            assert np.array_equal(one.truth.semantics, expected.semantics)
            assert {0, 1} == set(one.truth.starts.tolist())


def test_graphs_are_the_same_from_memory_and_from_the_file(trained, monkeypatch):
    readers = []
    for share in (0, 0.25):
        monkeypatch.setattr("mlreco.iotools.output.graphs.KEPT_SHARE", share)
        readers.append(FragmentReader(trained / "fragments.h5"))
        for index in (0, 2, 0, 1, 2):
            one = readers[-1].graph(index, "fragments")
            other = FragmentReader(trained / "fragments.h5").graph(index, "fragments")
            for part, same in ((one.graph, other.graph), (one.truth, other.truth)):
                assert all(np.array_equal(vars(part)[name], vars(same)[name]) for name in vars(part))
    assert [len(reader._kept) for reader in readers] == [0, 3]


def test_events_of_all_files_share_the_memory(trained, monkeypatch):
    graphs = "mlreco.iotools.output.graphs"
    monkeypatch.setattr(f"{graphs}._KEEPING", WeakSet())
    first = FragmentReader(trained / "fragments.h5")
    for index in range(2):
        first.graph(index, "fragments")
    bytes_kept = sum(rows.nbytes for event in first._kept.values() for rows in event.values())
    monkeypatch.setattr(f"{graphs}._memory", lambda: 4 * bytes_kept)
    second = FragmentReader(trained / "fragments.h5")
    second.graph(0, "fragments")
    assert (len(first._kept), len(second._kept)) == (2, 0)
    del first
    second.graph(0, "fragments")
    assert len(second._kept) == 1


def test_reclustering_again_gives_the_same_instances_and_another_clusterer_drops_them(trained):
    recluster(trained / "output.h5", load_config(THIN).post_processing, trained / "again.h5")
    recluster(trained / "again.h5", {"linked_clusterer": {}}, trained / "linked.h5")
    with HDF5Reader(trained / "output.h5") as one, HDF5Reader(trained / "again.h5") as two:
        for mine, other in zip(one, two, strict=True):
            assert np.array_equal(mine["instances"], other["instances"])
            assert np.array_equal(mine["semantics"], other["semantics"])
    with HDF5Reader(trained / "linked.h5") as reader:
        assert not [
            name
            for name in reader.products
            if name.startswith(("instances", "fragment_", "instance_")) and name != "instances_true"
        ]
        for event in reader:
            assert np.array_equal(event["semantics"], event["semantics_predicted"])


def test_pairs_are_written_where_asked_alone(trained, tmp_path):
    names = [FEW, "iotool.dataset.entry_range=[0,1]", "model.modules.grappa={width: 16, link_width: 8, rounds: 1}"]
    run_inference(load_config(THIN, names), tmp_path / "bare.h5", weights=next(trained.glob("w*.ckpt")))
    with HDF5Reader(tmp_path / "bare.h5") as bare, HDF5Reader(trained / "output.h5") as full:
        assert set(full.products) - set(bare.products) == set(PAIR_TABLES)
        assert np.array_equal(bare.event(0)["instances"], full.event(0)["instances"])
        with pytest.raises(UserError, match=r"bare\.h5: no product 'fragment_edges'; .*grappa\.write_pairs=true"):
            tune_graph(bare, events=range(1))
    with pytest.raises(UserError, match=r"no product 'fragment_edges'; .*grappa\.write_pairs=true"):
        recluster(tmp_path / "bare.h5", {"graph_clusterer": {}}, tmp_path / "again.h5")
    recluster(tmp_path / "bare.h5", {"linked_clusterer": {}}, tmp_path / "linked.h5")


def test_mistakes_are_told_in_a_line(trained, tmp_path):
    with pytest.raises(UserError, match="has no stage 'fragmenter'"):
        cache_fragments(load_config(CONFIG / "chain.cfg"), tmp_path / "x.h5")
    with pytest.raises(UserError, match="stage 'grappa' has no weights"):
        run_inference(load_config(THIN, ["model.modules.grappa.model_path=null"]), tmp_path / "x.h5")
    true = ["model.modules.uresnet_spice.semantics=true", FEW]
    with pytest.raises(UserError, match=r"fragmenter\.semantics is 'predicted' and SPICE clusters in other classes"):
        cache_fragments(load_config(THIN, true), tmp_path / "x.h5")
    half = ["model.modules.fragmenter.semantics=true", FEW]
    with pytest.raises(UserError, match=r"fragmenter\.semantics is 'true' and SPICE clusters in predicted classes"):
        cache_fragments(load_config(THIN, half), tmp_path / "x.h5")
    with pytest.raises(UserError, match="no product 'sparse3d_pcluster'"):
        run_inference(load_config(CONFIG / "thin.cfg", sources=[trained / "fragments.h5"]), tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()


def rewritten(source, target, version=FEATURE_VERSION, without="none"):
    """Write a file of fragments again, with another version of the features or without some products."""
    with HDF5Reader(source) as reader:
        info = {"class_scheme": "pilarnet", "classes": reader.info["classes"], "feature_version": version}
        with HDF5Writer(target, info) as writer:
            for event in reader:
                writer.append({name: rows for name, rows in event.items() if not name.startswith(without)})
    return target


def test_a_file_of_another_version_or_without_labels_is_refused(trained, tmp_path):
    old = rewritten(trained / "fragments.h5", tmp_path / "old.h5", version=0)
    with pytest.raises(UserError, match=r"old\.h5: holds version 0 of the features of fragments"):
        FragmentReader(old)
    bare = rewritten(trained / "fragments.h5", tmp_path / "bare.h5", without="truth_")
    names = [f"trainval.weight_prefix={tmp_path}/w", f"trainval.log_dir={tmp_path}/log", "trainval.iterations=1"]
    with pytest.raises(UserError, match="grappa needs the truth of fragments"):
        train(load_config(GRAPPA, names, sources=[bare]))


def test_resolved_thresholds_have_every_class():
    assert set(resolve_fragment_thresholds({"MIP": {"voxel_distance": 9}}, PILARNET)) == set(PILARNET.classes)
