"""The loss of the fragment graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mlreco.errors import UserError
from mlreco.graph_batch import GraphBatch, GraphTruth
from mlreco.models.labels import Labels
from mlreco.models.loss_terms import LossTerms
from mlreco.models.losses.class_weights import class_weight_vector
from mlreco.models.losses.label_checks import require_classes
from mlreco.models.stage import StageLoss
from mlreco.semantics import UNKNOWN, ClassScheme

LEAST_SHARE = 1e-6
"""Lower bound of a share before its logarithm is taken."""


class GrappaLoss(StageLoss):
    """Cross entropies of pairs (same instance, same interaction) and of fragments (class, start).

    Pairs count by the purity of both fragments and by a power of the voxels of the smaller one, fragments by their
    purity and the same power. Each term is a weighted mean over an event, averaged over the events with fragments;
    unknown labels do not count.

    Args:
        class_scheme: numbering of the classes.
        instance_weight: of the pairs' "same instance".
        choice_weight: of the choice of a larger partner: the softmax over the larger partners of a fragment, one of
            which at least is of its instance, should fall on those that are.
        class_weight: of the fragments' class.
        start_weight: of the fragments' "holds the start".
        interaction_weight: of the pairs' "same interaction".
        size_power: exponent of the number of voxels.
        pair_weights: factor by which pairs count more in "same instance" and in the choice of a partner, by the name of
            the true class of their smaller fragment; 1 where not given.
        alike_weights: factor by which pairs of two fragments of one true class count still more in "same instance", by
            its name; 1 where not given.
    """

    factors: Tensor
    alike: Tensor

    def __init__(
        self,
        class_scheme: ClassScheme,
        instance_weight: float = 1.0,
        choice_weight: float = 0.3,
        class_weight: float = 0.3,
        start_weight: float = 0.1,
        interaction_weight: float = 0.2,
        size_power: float = 0.3,
        pair_weights: Mapping[str, float] | None = None,
        alike_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.class_scheme = class_scheme
        self.weights = {
            "instance": instance_weight,
            "choice": choice_weight,
            "class": class_weight,
            "start": start_weight,
            "interaction": interaction_weight,
        }
        named = {f"{name}_weight": weight for name, weight in self.weights.items()}
        for name, value in {**named, "size_power": size_power}.items():
            if not 0 <= value < math.inf:
                raise UserError(f"{name} is {value}; a finite number that is not negative is needed")
        self.size_power = size_power
        factors = class_weight_vector(class_scheme, pair_weights, "pair_weights")
        alike = class_weight_vector(class_scheme, alike_weights, "alike_weights")
        self.register_buffer("factors", factors, persistent=False)
        self.register_buffer("alike", alike, persistent=False)

    def forward(self, products: Mapping[str, Any], labels: Labels) -> LossTerms:
        """Return ``loss``, its terms, and detached the accuracies of pairs and of classes.

        An accuracy is a mean over the events with labels, and their number is its weight; NaN without any.

        Raises:
            UserError: the fragments have no truth.
        """
        graph: GraphBatch = products["fragment_graph"]
        truth = graph.truth
        if truth is None:
            raise UserError(
                "grappa needs the truth of fragments: events with labels, made to a file by 'mlreco fragments'"
            )
        require_classes(truth.semantics, self.class_scheme)
        return self._terms(graph, truth, products["graph_logits"])

    def _terms(self, graph: GraphBatch, truth: GraphTruth, logits: Mapping[str, Tensor]) -> LossTerms:
        importance = truth.purities * graph.sizes.to(truth.purities.dtype) ** self.size_power
        events = torch.unique(graph.event_of_nodes()).numel()
        of_nodes = _EventMeans(graph.event_of_nodes(), len(graph.node_counts), events)
        of_edges = _EventMeans(graph.event_of_edges(), len(graph.node_counts), events)
        larger, smaller = graph.edges.T
        pair_weight = truth.purities[larger] * importance[smaller]
        factor = _of_class(self.factors, truth.semantics)
        alike = truth.semantics[larger] == truth.semantics[smaller]
        counted = factor[smaller] * torch.where(alike, _of_class(self.alike, truth.semantics)[smaller], 1.0)
        same, known = _same(truth.instances, graph.edges)
        together, told = _same(truth.interactions, graph.edges)
        classes = functional.cross_entropy(logits["class"], truth.semantics, ignore_index=UNKNOWN, reduction="none")
        choices, chosen = _choice(logits["instance"], same & known, smaller, len(graph))
        terms = {
            "instance": of_edges(_entropy(logits["instance"], same), pair_weight * counted * known),
            "choice": of_nodes(choices, importance * factor * chosen),
            "class": of_nodes(classes, importance * (truth.semantics >= 0)),
            "start": of_nodes(_entropy(logits["start"], truth.starts == 1), (truth.starts >= 0).to(importance.dtype)),
            "interaction": of_edges(_entropy(logits["interaction"], together), pair_weight * told),
        }
        right = logits["class"].detach().argmax(1) == truth.semantics
        agree = (logits["instance"].detach() > 0) == same
        accuracies = {
            "pair_accuracy": of_edges.of_known(agree.to(importance.dtype), pair_weight * known),
            "class_accuracy": of_nodes.of_known(right.to(importance.dtype), importance * (truth.semantics >= 0)),
        }
        loss = reduce(torch.add, [weight * terms[name] for name, weight in self.weights.items()])
        return LossTerms(
            {
                "loss": loss,
                **{name: term.detach() for name, term in terms.items()},
                **{name: mean for name, (mean, _) in accuracies.items()},
            },
            {name: count for name, (_, count) in accuracies.items()},
        )


class _EventMeans:
    """Weighted means over the rows of each event, averaged over the events with fragments or over those with labels.

    Args:
        event: (R,) event of each row.
        count: number of events.
        counted: number of those that have fragments.
    """

    def __init__(self, event: Tensor, count: int, counted: int) -> None:
        self.event, self.count, self.counted = event, count, max(counted, 1)

    def __call__(self, values: Tensor, weights: Tensor) -> Tensor:
        """Return the mean of (R,) values; an event in which no row has weight contributes 0."""
        means, _ = self._of_each(values, weights)
        return means.sum() / self.counted

    def of_known(self, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean over the events in which a row has weight, NaN without any, and their number."""
        means, counts = self._of_each(values, weights)
        return means.sum() / counts.sum(), counts.sum()

    def _of_each(self, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of each event, 0 where no row has weight, and (events,) bool whether one has."""
        totals = weights.new_zeros(self.count).index_add(0, self.event, weights)
        sums = values.new_zeros(self.count).index_add(0, self.event, values * weights)
        return sums / torch.where(totals > 0, totals, 1.0), totals > 0


def _of_class(values: Tensor, semantics: Tensor) -> Tensor:
    """Return for each fragment the value of its class, 1 where that is unknown."""
    return torch.where(semantics >= 0, values.to(semantics.device)[semantics.clamp(min=0)], 1.0)


def _same(groups: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each pair whether both ends are of one group, and whether that is known."""
    one, other = groups[edges[:, 0]], groups[edges[:, 1]]
    return one == other, (one >= 0) & (other >= 0)


def _choice(scores: Tensor, right: Tensor, smaller: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return for each fragment -log of the share of its right pairs in the softmax over its pairs with larger ones.

    Args:
        scores: (E,) of the pairs.
        right: (E,) bool.
        smaller: (E,) the smaller fragment of each pair.
        count: number of fragments.

    Returns:
        (count,) values, 0 without a right pair, and (count,) bool whether a fragment has a right pair.
    """
    highest = scores.detach().new_full((count,), -torch.inf).scatter_reduce(0, smaller, scores.detach(), "amax")
    weights = (scores - highest[smaller]).exp()
    every = weights.new_zeros(count).index_add(0, smaller, weights)
    those = weights.new_zeros(count).index_add(0, smaller, weights * right)
    chosen = weights.new_zeros(count).index_add(0, smaller, right.to(weights.dtype)) > 0
    shares = torch.where(chosen, those, 1.0) / torch.where(chosen, every, 1.0)
    return -shares.clamp(min=LEAST_SHARE).log(), chosen


def _entropy(logits: Tensor, positive: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")
