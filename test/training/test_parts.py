"""Every term of a batch is the same however the batch is divided: over minibatches, processes, and iterations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.graph_batch import GraphBatch, GraphTruth
from mlreco.models.chain import ChainLoss
from mlreco.models.grappa.loss import GrappaLoss
from mlreco.models.labels import Labels
from mlreco.models.spice import SpiceLoss
from mlreco.models.uresnet import UResNetLoss
from mlreco.models.uresnet_spice import UResNetSpiceLoss
from mlreco.semantics import PILARNET
from mlreco.training.interval import Interval
from mlreco.training.parts import Terms, shares_of

WEIGHTS = {"Shower": 0.25, "Michel": 3.0}
LOSSES = {
    "uresnet": lambda: UResNetLoss(PILARNET, WEIGHTS),
    "spice": lambda: SpiceLoss(PILARNET, min_voxels=2, skip_classes=["HIP"]),
    "uresnet_spice": lambda: UResNetSpiceLoss(PILARNET, 0.5, WEIGHTS, {"min_voxels": 2}),
    "grappa": lambda: GrappaLoss(PILARNET),
}
VOXELS, FRAGMENTS = 9, 4


@dataclass
class Part:
    """Some events of a batch, with what a network says of them; stands in for the chain, too."""

    products: dict[str, Any]
    given: Labels
    of_rows: torch.Tensor

    @staticmethod
    def labels(part: Part) -> Labels:
        return part.given

    @staticmethod
    def events(part: Part) -> torch.Tensor:
        return part.of_rows


def voxel_part(seeds: list[int]) -> Part:
    """Make events, each of few classes; one in four has no instance, one in eight no class."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        semantics = rng.choice(rng.integers(0, 5, 2), VOXELS)
        instances = rng.integers(0, 2, VOXELS) if seed % 4 else np.full(VOXELS, -1)
        semantics = semantics if seed % 8 else np.full(VOXELS, -1)
        rows.append((semantics, instances, rng.normal(size=(VOXELS, 5)), rng.random((VOXELS, 5))))
    semantics, instances, logits, embedding = (
        torch.from_numpy(np.concatenate(each)) for each in zip(*rows, strict=True)
    )
    events = torch.arange(len(seeds)).repeat_interleave(VOXELS)
    products = {
        "image": SimpleNamespace(indices=events[:, None]),
        "segmentation": logits,
        "embeddings": embedding[:, :3],
        "margins": embedding[:, 3],
        "seediness": embedding[:, 4],
    }
    return Part(products, Labels(semantics, instances), events)


def graph_part(seeds: list[int]) -> Part:
    """Make graphs of fragments; one event in four has none."""
    counts = [FRAGMENTS if seed % 4 else 0 for seed in seeds]
    total, edges, logits, truth = sum(counts), [], [], []
    for number, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        n = counts[number]
        pairs = np.array([(a, b) for a in range(n) for b in range(a + 1, n)]).reshape(-1, 2)
        edges.append(pairs[rng.random(len(pairs)) < 0.7] + sum(counts[:number]))
        e = len(edges[-1])
        shapes = {"instance": e, "interaction": e, "class": (n, 5), "start": n}
        logits.append({name: rng.normal(size=shape) for name, shape in shapes.items()})
        labels = [rng.integers(-1, most, n) for most in (2, 5, 2)]
        truth.append((*labels, rng.random(n), rng.integers(-1, 2, n), rng.integers(1, 50, n)))
    *labels, sizes = (torch.from_numpy(np.concatenate(each)) for each in zip(*truth, strict=True))
    graph = GraphBatch(
        torch.zeros(total, 3),
        torch.from_numpy(np.concatenate(edges).astype(np.int64)),
        torch.zeros(sum(map(len, edges)), 2),
        torch.zeros(total, dtype=torch.int64),
        sizes,
        tuple(counts),
        tuple(map(len, edges)),
        GraphTruth(*labels),
    )
    scores = {name: torch.from_numpy(np.concatenate([of[name] for of in logits])) for name in logits[0]}
    return Part({"fragment_graph": graph, "graph_logits": scores}, Labels(), graph.event_of_nodes())


def terms_of(loss: ChainLoss, parts: list[Part], shares: list[Any]) -> Terms:
    terms = Terms(loss)
    for part, share in zip(parts, shares, strict=True):
        terms.add(loss(part.products, part.given), share)
    return terms


def over_processes(one: Terms, other: Terms) -> tuple[dict[str, float], dict[str, float]]:
    """Return the numbers of two processes, as the first has them."""
    sums = []
    other.numbers(one.names(), lambda tensor: sums.append(tensor) or tensor)
    return one.numbers(other.names(), lambda tensor: tensor + sums[0])


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25, deadline=None)
@given(
    divided=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=3), min_size=1, max_size=4),
    process=st.integers(0, 4),
)
def test_terms_do_not_depend_on_the_division(name, divided, process):
    loss = ChainLoss({name: LOSSES[name]()}, {name: 0.5})
    make = graph_part if name == "grappa" else voxel_part
    parts, batch = [make(seeds) for seeds in divided], make(list(chain(*divided)))
    whole, whole_weights = terms_of(loss, [batch], [None]).numbers()
    shares = shares_of(parts, Part, loss)
    process = min(process, len(parts))
    first, second = terms_of(loss, parts[:process], shares[:process]), terms_of(loss, parts[process:], shares[process:])
    raw = [loss.weights(part.given, part.of_rows) for part in parts]
    for numbers, weights in (terms_of(loss, parts, shares).numbers(), over_processes(first, second)):
        assert numbers == pytest.approx(whole, rel=1e-6, nan_ok=True)
        assert weights == pytest.approx(whole_weights, rel=1e-6)
    validation, _ = terms_of(loss, parts, raw).numbers()
    if loss.weights(batch.given, batch.of_rows)[name] > 0:
        assert validation == pytest.approx(whole, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", LOSSES)
def test_columns_of_a_class_over_an_interval_are_those_of_all_its_events(name):
    loss = ChainLoss({name: LOSSES[name]()})
    make = graph_part if name == "grappa" else voxel_part
    interval = Interval()
    base = dict.fromkeys(("titer", "tio", "tforward", "tbackward", "tsum", "lr", "epoch", "gradient_norm", "iter"), 1.0)
    losses, batches = [], [[1, 2], [3], [5, 6, 7, 9], [4]]
    for seeds in batches:
        numbers, weights = terms_of(loss, [make(seeds)], [None]).numbers()
        losses.append(numbers["loss"])
        interval.add({**base, "events": len(seeds), **numbers}, weights)
    row, (expected, _) = interval.row(), terms_of(loss, [make(list(chain(*batches)))], [None]).numbers()
    assert row["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-9)
    columns = [column for column in expected if column.endswith(PILARNET.classes) or "accuracy" in column]
    assert len(columns) >= 2 and sum(not math.isnan(expected[column]) for column in columns) >= 2
    for column in columns:
        assert row[column] == pytest.approx(expected[column], rel=1e-6, nan_ok=True), column


def test_a_loss_that_is_nan_in_a_minibatch_is_nan_and_an_accuracy_leaves_it_out():
    loss = SimpleNamespace(losses={"uresnet": None}, factors={"uresnet": 2.0})
    terms = Terms(loss)
    for value, accuracy, weight in ((1.0, 0.5, 3.0), (math.nan, math.nan, 1.0)):
        found = {"loss": value, "uresnet_loss": value, "uresnet_accuracy": accuracy}
        terms.add({name: torch.tensor(one) for name, one in found.items()}, {"uresnet": torch.tensor(weight)})
    numbers, weights = terms.numbers()
    assert math.isnan(numbers["loss"]) and math.isnan(numbers["uresnet_loss"])
    assert numbers["uresnet_accuracy"] == 0.5 and weights["uresnet_accuracy"] == 3.0
    nothing = Terms(loss)
    nothing.add({name: torch.tensor(0.0) for name in ("loss", "uresnet_loss")}, {"uresnet": torch.tensor(0.0)})
    assert nothing.numbers()[0]["loss"] == 0.0
