"""The weights of a graph network in the form that the compiled passes take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mlreco.models.grappa import passes
from mlreco.models.grappa.network import LinkUpdate, NodeUpdate, Rounds, Standardise
from mlreco.models.grappa.passes import Answer, Encoder, LinkStep, NodeStep, Norm
from mlreco.sparse import Dense, all_are_watched, dense, is_own, remembered

_KINDS = (Rounds, LinkUpdate, NodeUpdate, Standardise, nn.Linear, nn.LayerNorm, nn.ReLU, nn.Sequential, nn.ModuleList)


class Folded(NamedTuple):
    """The layers of a network for the passes; the last round updates only the pairs."""

    node_encoder: Encoder
    link_encoder: Encoder
    rounds: Sequence[tuple[LinkStep, NodeStep]]
    last: LinkStep
    node_head: Answer
    link_head: Answer
    widths: tuple[int, int]
    outputs: tuple[int, int]

    def __call__(self, nodes: Tensor, links: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the heads for (F, ...) fragments and (E, ...) pairs; ``edges`` are (E, 2) fragments."""
        rows = edges.numpy()
        node_states = passes.encode(nodes.numpy(), self.node_encoder, self.widths[0])
        link_states = passes.encode(links.numpy(), self.link_encoder, self.widths[1])
        for link_step, node_step in self.rounds:
            passes.update_links(node_states, link_states, rows, link_step)
            passes.update_nodes(node_states, link_states, rows, node_step)
        passes.update_links(node_states, link_states, rows, self.last)
        of_nodes = passes.answer(node_states, self.node_head, self.outputs[0])
        of_links = passes.answer(link_states, self.link_head, self.outputs[1])
        return torch.from_numpy(of_nodes), torch.from_numpy(of_links)


def folded(rounds: Rounds, node_head: nn.Module, link_head: nn.Module) -> Folded | None:
    """Return a network for the passes; None where it must be called layer by layer.

    It must be where gradients are recorded, numbers are not float32 or not on the CPU, statistics of features are still
    being collected, or a layer has been replaced or has hooks.
    """
    parts = (rounds, node_head, link_head)
    if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or all_are_watched():
        return None
    if not remembered(rounds, "ordinary", list, lambda: _are_ordinary(parts)):
        return None

    def tensors() -> list[Tensor]:
        return [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]

    return remembered(rounds, "folded", tensors, lambda: _fold(*parts))


def _are_ordinary(parts: Sequence[nn.Module]) -> bool:
    return all(_is_ordinary(module) for part in parts for module in part.modules())


def _is_ordinary(module: nn.Module) -> bool:
    if type(module) not in _KINDS or not is_own(module, type(module)):
        return False
    if isinstance(module, Standardise) and module.training:
        return False
    return all(parameter.dtype == torch.float32 for parameter in module.parameters(recurse=False))


def _fold(rounds: Any, node_head: Any, link_head: Any) -> Folded:
    links, nodes = list(rounds.link_updates), list(rounds.node_updates)
    return Folded(
        _encoder(rounds.node_encoder),
        _encoder(rounds.link_encoder),
        [(_link_step(link), _node_step(node)) for link, node in zip(links, nodes, strict=True)],
        _link_step(rounds.last),
        _answer(node_head),
        _answer(link_head),
        (rounds.last.of_larger.in_features, rounds.last.of_link.in_features),
        (node_head[-1].out_features, link_head[-1].out_features),
    )


def _dense(*layers: nn.Linear) -> Dense:
    """Return linear layers with the same input as one layer, with their outputs concatenated."""
    biases: list[Tensor] = [
        layer.bias if layer.bias is not None else torch.zeros(layer.out_features) for layer in layers
    ]
    weights: list[Tensor] = [layer.weight for layer in layers]
    return dense(torch.cat(weights), torch.cat(biases))


def _norm(norm: nn.LayerNorm) -> Norm:
    scale, shift = (tensor.detach().numpy().copy() for tensor in (norm.weight, norm.bias))
    return Norm(scale, shift, np.float32(norm.eps))


def _encoder(layers: Any) -> Encoder:
    standard, first, _, second = layers
    mean, deviation = standard.mean.numpy().copy(), standard.scale().numpy().copy()
    return Encoder(mean, deviation, _dense(first), _dense(second))


def _link_step(update: LinkUpdate) -> LinkStep:
    of_nodes = _dense(update.of_larger, update.of_smaller)
    return LinkStep(of_nodes, _dense(update.of_link), _norm(update.norm), _dense(update.out))


def _node_step(update: Any) -> NodeStep:
    return NodeStep(_dense(*update.weights), _dense(update.inner), _norm(update.norm), _dense(update.out))


def _answer(layers: Any) -> Answer:
    norm, first, _, second = layers
    return Answer(_norm(norm), _dense(first), _dense(second))
