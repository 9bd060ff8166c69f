"""Message passing over fragments and pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlreco.errors import UserError
from mlreco.models.grappa.passes import BOUND, CHANNELS, LEAST_WEIGHT

LEAST_DEVIATION = 1e-5
"""A feature with a smaller standard deviation is shifted but not scaled."""


class Rounds(nn.Module):
    """Rounds of message passing: pairs are updated from their fragments, then fragments from their pairs.

    Args:
        nodes: features of a fragment.
        links: features of a pair.
        node_width: of the states of fragments.
        link_width: of the states of pairs, of which there are many more.
        rounds: how often.
    """

    def __init__(self, nodes: int, links: int, node_width: int, link_width: int, rounds: int) -> None:
        super().__init__()
        self.node_encoder = _encoder(nodes, node_width)
        self.link_encoder = _encoder(links, link_width)
        self.link_updates = nn.ModuleList(LinkUpdate(node_width, link_width) for _ in range(rounds))
        self.node_updates = nn.ModuleList(NodeUpdate(node_width, link_width) for _ in range(rounds))
        self.last = LinkUpdate(node_width, link_width)

    def forward(self, nodes: Tensor, links: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Return (F, node_width) states of the fragments and (E, link_width) states of the pairs.

        Args:
            nodes: (F, ...) features.
            links: (E, ...) features.
            edges: (E, 2) rows of ``nodes``, the larger fragment first.
        """
        nodes, links = self.node_encoder(nodes), self.link_encoder(links)
        for link_update, node_update in zip(self.link_updates, self.node_updates, strict=True):
            links = link_update(nodes, links, edges)
            nodes = node_update(nodes, links, edges)
        return nodes, self.last(nodes, links, edges)


class LinkUpdate(nn.Module):
    """Adds to the state of a pair a function of this state and of the states of its two fragments."""

    def __init__(self, node_width: int, link_width: int) -> None:
        super().__init__()
        self.of_larger = nn.Linear(node_width, link_width, bias=False)
        self.of_smaller = nn.Linear(node_width, link_width, bias=False)
        self.of_link = nn.Linear(link_width, link_width)
        self.norm = nn.LayerNorm(link_width)
        self.out = nn.Linear(link_width, link_width)

    def forward(self, nodes: Tensor, links: Tensor, edges: Tensor) -> Tensor:
        """Return the (E, link_width) new states of the pairs."""
        hidden, larger, smaller = self.of_link(links), self.of_larger(nodes), self.of_smaller(nodes)
        hidden = hidden + larger.index_select(0, edges[:, 0]) + smaller.index_select(0, edges[:, 1])
        return links + self.out(torch.relu(self.norm(hidden)))


class NodeUpdate(nn.Module):
    """Adds to the state of a fragment a function of this state and of its pairs.

    Pairs with larger and with smaller fragments are taken separately. Each side enters by the weighted mean of the
    states of its pairs and by the logarithms of the sums of the weights. The network computes the weights, which are
    positive and not bounded, one for every ``CHANNELS`` channels.
    """

    def __init__(self, node_width: int, link_width: int) -> None:
        super().__init__()
        if link_width % CHANNELS:
            raise UserError(f"link_width is {link_width}; a multiple of {CHANNELS} is needed")
        heads = link_width // CHANNELS
        self.weights = nn.ModuleList(nn.Linear(link_width, heads) for _ in range(2))
        self.inner = nn.Linear(node_width + 2 * (link_width + heads), node_width)
        self.norm = nn.LayerNorm(node_width)
        self.out = nn.Linear(node_width, node_width)

    def forward(self, nodes: Tensor, links: Tensor, edges: Tensor) -> Tensor:
        """Return the (F, node_width) new states of the fragments."""
        weights = [of_side(links).clamp(-BOUND, BOUND).exp() for of_side in self.weights]
        parts = [
            part
            for side, of_side in enumerate(weights)
            for part in _weighted_means(links, of_side, edges[:, side], len(nodes))
        ]
        hidden = self.inner(torch.cat([nodes, *parts], dim=1))
        return nodes + self.out(torch.relu(self.norm(hidden)))


def _weighted_means(links: Tensor, weights: Tensor, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return for each of ``count`` rows the weighted mean of its links (0 without any) and the log of the weights' sum.

    Args:
        links: (E, heads * CHANNELS).
        weights: (E, heads) above 0.
        rows: (E,) row of each link.
        count: number of rows.
    """
    heads = weights.shape[1]
    weighted = (links.view(len(links), heads, CHANNELS) * weights[:, :, None]).view(links.shape)
    sums = links.new_zeros(count, links.shape[1] + heads)
    sums = sums.index_add(0, rows, torch.cat([weighted, weights], dim=1))
    total = sums[:, links.shape[1] :]
    means = sums[:, : links.shape[1]].view(count, heads, CHANNELS) / (total[:, :, None] + LEAST_WEIGHT)
    return means.view(count, links.shape[1]), torch.log(total + LEAST_WEIGHT)


class Standardise(nn.Module):
    """Shifts and scales features by their mean and standard deviation in the first steps of the training.

    The output for an event does not depend on the other events of its batch. Statistics are collected over the first
    ``steps`` batches with rows and are fixed afterwards.

    Args:
        features: their number.
        steps: number of batches over which statistics are collected.
    """

    mean: Tensor
    deviation: Tensor
    rows: Tensor
    batches: Tensor

    def __init__(self, features: int, steps: int = 200) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.register_buffer("rows", torch.zeros((), dtype=torch.int64))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        """Return (R, features) values with about mean 0 and deviation 1."""
        if self.training and len(values) and int(self.batches) < self.steps:
            self._count(values.detach().double())
        return (values - self.mean) / self.scale()

    def scale(self) -> Tensor:
        """Return (features,) the numbers by which features are divided."""
        return torch.where(self.deviation > LEAST_DEVIATION, self.deviation, 1.0)

    def _count(self, values: Tensor) -> None:
        """Add rows to the statistics (Chan, Golub and LeVeque 1983)."""
        before, new = int(self.rows), len(values)
        mean, variance = values.mean(0), values.var(0, unbiased=False)
        step = mean - self.mean
        share = new / (before + new)
        squared = (1 - share) * self.deviation.double() ** 2 * (before > 0) + share * variance
        self.mean.copy_(self.mean + share * step)
        self.deviation.copy_((squared + share * (1 - share) * step**2).sqrt())
        self.rows += new
        self.batches += 1


def head(width: int, outputs: int) -> nn.Module:
    """Return the layers from a state to outputs."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))


def _encoder(features: int, width: int) -> nn.Module:
    return nn.Sequential(Standardise(features), nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width))
