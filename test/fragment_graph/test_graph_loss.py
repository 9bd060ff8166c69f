"""The loss of the fragment graph: a slow version, gradients, and what must not matter."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mlreco.errors import UserError
from mlreco.graph_batch import GraphBatch, GraphTruth
from mlreco.models.grappa.loss import GrappaLoss
from mlreco.models.labels import Labels
from mlreco.semantics import PILARNET

WEIGHTS = {"instance_weight": 1.0, "choice_weight": 0.7, "class_weight": 0.5, "start_weight": 0.3}


def batch(seed: int = 0, counts: tuple[int, ...] = (5, 0, 4)) -> tuple[GraphBatch, dict[str, torch.Tensor]]:
    rng = np.random.default_rng(seed)
    pairs, firsts = [], np.cumsum([0, *counts])
    for first, count in zip(firsts, counts, strict=False):
        every = [(first + a, first + b) for a in range(count) for b in range(a + 1, count)]
        pairs.append(np.array(every).reshape(-1, 2)[rng.random(len(every)) < 0.8])
    edges, fragments = np.concatenate(pairs), sum(counts)
    truth = GraphTruth(
        torch.from_numpy(np.where(rng.random(fragments) < 0.2, -1, rng.integers(0, 2, fragments))),
        torch.from_numpy(rng.integers(-1, 5, fragments)),
        torch.from_numpy(rng.integers(-1, 2, fragments)),
        torch.from_numpy(rng.random(fragments)),
        torch.from_numpy(rng.integers(-1, 2, fragments)),
    )
    graph = GraphBatch(
        torch.zeros(fragments, 3),
        torch.from_numpy(edges.astype(np.int64)),
        torch.zeros(len(edges), 2),
        torch.zeros(fragments, dtype=torch.int64),
        torch.from_numpy(rng.integers(1, 50, fragments)),
        counts,
        tuple(map(len, pairs)),
        truth,
    )
    logits = {
        "instance": torch.from_numpy(rng.normal(size=len(edges))),
        "interaction": torch.from_numpy(rng.normal(size=len(edges))),
        "class": torch.from_numpy(rng.normal(size=(fragments, 5))),
        "start": torch.from_numpy(rng.normal(size=fragments)),
    }
    return graph, logits


def mean(values: list[float], weights: list[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights) if sum(weights) else 0.0


def slow_terms(
    graph: GraphBatch,
    logits: dict[str, torch.Tensor],
    power: float,
    factors: tuple[float, ...] = (1.0,) * 5,
    alike: tuple[float, ...] = (1.0,) * 5,
) -> dict[str, float]:
    truth = graph.truth
    factor = [factors[number] if number >= 0 else 1.0 for number in truth.semantics.tolist()]
    importance = (truth.purities * graph.sizes.double() ** power).tolist()
    terms = {"instance": [], "choice": [], "class": [], "start": [], "interaction": []}
    first, first_edge = 0, 0
    for count, edge_count in zip(graph.node_counts, graph.edge_counts, strict=True):
        nodes, rows = range(first, first + count), range(first_edge, first_edge + edge_count)
        first, first_edge = first + count, first_edge + edge_count
        if not count:
            continue
        for name, groups in (("instance", truth.instances), ("interaction", truth.interactions)):
            values, weights = [], []
            for row in rows:
                a, b = graph.edges[row].tolist()
                if groups[a] >= 0 and groups[b] >= 0:
                    p = 1 / (1 + math.exp(-logits[name][row]))
                    values.append(-math.log(p if groups[a] == groups[b] else 1 - p))
                    more = factor[b] if name == "instance" else 1.0
                    if name == "instance" and truth.semantics[a] == truth.semantics[b] >= 0:
                        more *= alike[int(truth.semantics[b])]
                    weights.append(truth.purities[a].item() * importance[b] * more)
            terms[name].append(mean(values, weights))
        values, weights = [], []
        for node in nodes:
            own = [row for row in rows if graph.edges[row, 1] == node]
            right = [
                row
                for row in own
                if truth.instances[node] >= 0 and truth.instances[graph.edges[row, 0]] == truth.instances[node]
            ]
            if right:
                every = sum(math.exp(logits["instance"][row]) for row in own)
                values.append(-math.log(sum(math.exp(logits["instance"][row]) for row in right) / every))
                weights.append(importance[node] * factor[node])
        terms["choice"].append(mean(values, weights))
        known = [node for node in nodes if truth.semantics[node] >= 0]
        values = [-logits["class"][n].log_softmax(0)[truth.semantics[n]].item() for n in known]
        terms["class"].append(mean(values, [importance[n] for n in known]))
        told = [node for node in nodes if truth.starts[node] >= 0]
        p = [1 / (1 + math.exp(-logits["start"][n])) for n in told]
        values = [-math.log(p if truth.starts[n] == 1 else 1 - p) for n, p in zip(told, p, strict=True)]
        terms["start"].append(mean(values, [1.0] * len(told)))
    return {name: sum(values) / len(values) for name, values in terms.items()}


def loss_of(
    graph: GraphBatch, logits: dict[str, torch.Tensor], power: float = 0.5, **settings: dict[str, float]
) -> dict[str, torch.Tensor]:
    loss = GrappaLoss(PILARNET, **WEIGHTS, size_power=power, **settings)
    return loss({"fragment_graph": graph, "graph_logits": logits}, Labels())


@pytest.mark.parametrize("seed", range(4))
def test_the_terms_are_those_of_a_slow_version(seed):
    graph, logits = batch(seed)
    found, expected = loss_of(graph, logits), slow_terms(graph, logits, 0.5)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-9), name
    total = sum(WEIGHTS.get(f"{name}_weight", 0.2) * value for name, value in expected.items())
    assert found["loss"].item() == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_count_by_the_class_of_their_smaller_fragment(seed):
    graph, logits = batch(seed)
    found = loss_of(graph, logits, pair_weights={"Delta": 3.0, "HIP": 0.0})
    factors = [1.0] * 5
    factors[PILARNET.number("Delta")], factors[PILARNET.number("HIP")] = 3.0, 0.0
    for name, value in slow_terms(graph, logits, 0.5, tuple(factors)).items():
        assert found[name].item() == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("seed", range(4))
def test_pairs_of_one_class_count_still_more(seed):
    graph, logits = batch(seed)
    found = loss_of(graph, logits, pair_weights={"Delta": 3.0}, alike_weights={"Delta": 5.0, "MIP": 0.5})
    factors, alike = [1.0] * 5, [1.0] * 5
    factors[PILARNET.number("Delta")] = 3.0
    alike[PILARNET.number("Delta")], alike[PILARNET.number("MIP")] = 5.0, 0.5
    for name, value in slow_terms(graph, logits, 0.5, tuple(factors), tuple(alike)).items():
        assert found[name].item() == pytest.approx(value, rel=1e-6), name


def test_a_weight_of_pairs_is_that_of_a_class_and_not_negative():
    with pytest.raises(UserError, match=r"pair_weights\.Delta is -1"):
        GrappaLoss(PILARNET, pair_weights={"Delta": -1.0})
    with pytest.raises(UserError, match=r"alike_weights\.Delta is nan"):
        GrappaLoss(PILARNET, alike_weights={"Delta": math.nan})
    with pytest.raises(UserError, match="Muon"):
        GrappaLoss(PILARNET, pair_weights={"Muon": 2.0})


def test_gradients_are_those_of_differences():
    graph, logits = batch(1)
    names = list(logits)

    def total(*values: torch.Tensor) -> torch.Tensor:
        return loss_of(graph, dict(zip(names, values, strict=True)))["loss"]

    assert torch.autograd.gradcheck(total, [logits[name].requires_grad_() for name in names])


def test_batches_add_up_by_their_events():
    one, one_logits = batch(0, (5, 4))
    parts = [part(one, one_logits, slice(0, 5), 0), part(one, one_logits, slice(5, 9), 1)]
    alone = [loss_of(*each)["loss"] for each in parts]
    assert loss_of(one, one_logits)["loss"].item() == pytest.approx(sum(map(float, alone)) / 2, rel=1e-9)


def part(graph: GraphBatch, logits: dict, nodes: slice, number: int) -> tuple[GraphBatch, dict]:
    edges = (graph.edges[:, 0] >= nodes.start) & (graph.edges[:, 0] < nodes.stop)
    truth = GraphTruth(**{name: getattr(graph.truth, name)[nodes] for name in GraphTruth.__dataclass_fields__})
    cut = GraphBatch(
        graph.nodes[nodes],
        graph.edges[edges] - nodes.start,
        graph.links[edges],
        graph.classes[nodes],
        graph.sizes[nodes],
        (graph.node_counts[number],),
        (graph.edge_counts[number],),
        truth,
    )
    rows = {"instance": edges, "interaction": edges, "class": nodes, "start": nodes}
    return cut, {name: values[rows[name]] for name, values in logits.items()}


@pytest.mark.parametrize("counts", [(), (0,), (1,)])
def test_nothing_to_learn_is_a_zero_with_a_graph(counts):
    graph, logits = batch(0, counts or (0, 0))
    nothing = torch.full_like(graph.truth.semantics, -1)
    truth = replace(graph.truth, semantics=nothing, starts=nothing)
    logits = {name: values.requires_grad_() for name, values in logits.items()}
    terms = loss_of(replace(graph, truth=truth), logits)
    assert terms["loss"].item() == 0
    terms["loss"].backward()
    for name, value in terms.items():
        assert torch.isnan(value) and terms.weights[name] == 0 if "accuracy" in name else torch.isfinite(value), name


def slow_accuracies(graph: GraphBatch, logits: dict[str, torch.Tensor], power: float) -> dict[str, list[float]]:
    """Return the accuracies of each event in which something is known."""
    truth, found = graph.truth, {"pair_accuracy": [], "class_accuracy": []}
    importance = (truth.purities * graph.sizes.double() ** power).tolist()
    event = graph.event_of_nodes().tolist()
    for number in range(len(graph.node_counts)):
        values, weights = [], []
        for row, (a, b) in enumerate(graph.edges.tolist()):
            if event[a] == number and truth.instances[a] >= 0 and truth.instances[b] >= 0:
                same = bool(truth.instances[a] == truth.instances[b])
                values.append(float((logits["instance"][row].item() > 0) == same))
                weights.append(truth.purities[a].item() * importance[b])
        if values:
            found["pair_accuracy"].append(mean(values, weights))
        known = [node for node, of in enumerate(event) if of == number and truth.semantics[node] >= 0]
        if known:
            right = [float(logits["class"][node].argmax() == truth.semantics[node]) for node in known]
            found["class_accuracy"].append(mean(right, [importance[node] for node in known]))
    return found


@pytest.mark.parametrize("unknown", [(), (0,), (0, 2)])
def test_accuracies_are_means_over_events_in_which_something_is_known(unknown):
    graph, logits = batch(3, (5, 0, 4, 1))
    nowhere = torch.isin(graph.event_of_nodes(), torch.tensor(unknown))
    told = {name: getattr(graph.truth, name).masked_fill(nowhere, -1) for name in ("instances", "semantics")}
    graph = replace(graph, truth=replace(graph.truth, **told))
    found = loss_of(graph, logits)
    for name, values in slow_accuracies(graph, logits, 0.5).items():
        expected = sum(values) / len(values) if values else math.nan
        assert found[name].item() == pytest.approx(expected, rel=1e-9, nan_ok=True), name
        assert found.weights[name] == len(values)


def test_far_apart_scores_stay_finite():
    graph, logits = batch(2)
    logits = {name: (values * 500).requires_grad_() for name, values in logits.items()}
    loss = loss_of(graph, logits)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(values.grad).all() for values in logits.values())


def test_missing_truth_and_bad_weights_are_told():
    graph, logits = batch(0)
    with pytest.raises(UserError, match="needs the truth of fragments"):
        loss_of(replace(graph, truth=None), logits)
    with pytest.raises(UserError, match=r"class_weight is -1\.0"):
        GrappaLoss(PILARNET, class_weight=-1.0)
    truth = replace(graph.truth, semantics=torch.full_like(graph.truth.semantics, 7))
    with pytest.raises(UserError, match="semantic class 7"):
        loss_of(replace(graph, truth=truth), logits)
