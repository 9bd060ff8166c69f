"""The network of SPICE out of the layers of a peer, in the order of our parameters."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import nn

from mlreco.sparse import level_channels

SLOPE = 0.33


class Layers(Protocol):
    """What a peer must offer; ``Image`` is its own sparse tensor.

    Attributes:
        threads: most threads with which its results are right; None for any number.
    """

    threads: int | None

    def image(self, coordinates: torch.Tensor, features: torch.Tensor, edge: int) -> Any:
        """Return an image of (N, 4) batch index, x, y, z and (N, C) features."""

    def features(self, image: Any) -> torch.Tensor:
        """Return the (N, C) features of an image."""

    def with_features(self, image: Any, features: torch.Tensor) -> Any:
        """Return the same voxels with other features."""

    def submanifold(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return a 3x3x3 submanifold convolution without bias."""

    def down(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return a 2x2x2 convolution of stride 2 from a level to the next, without bias."""

    def up(self, fan_in: int, fan_out: int, level: int) -> nn.Module:
        """Return the convolution back to a level."""


class _Activation(nn.Module):
    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.layers, self.norm = layers, nn.BatchNorm1d(channels)

    def forward(self, image: Any) -> Any:
        normalised = self.norm(self.layers.features(image))
        return self.layers.with_features(image, nn.functional.leaky_relu(normalised, SLOPE))


class _Block(nn.Module):
    def __init__(self, layers: Layers, fan_in: int, fan_out: int, level: int) -> None:
        super().__init__()
        self.layers = layers
        self.activation_1 = _Activation(layers, fan_in)
        self.convolution_1 = layers.submanifold(fan_in, fan_out, level)
        self.activation_2 = _Activation(layers, fan_out)
        self.convolution_2 = layers.submanifold(fan_out, fan_out, level)
        self.shortcut = nn.Identity() if fan_in == fan_out else nn.Linear(fan_in, fan_out, bias=False)

    def forward(self, image: Any) -> Any:
        inner = self.convolution_2(self.activation_2(self.convolution_1(self.activation_1(image))))
        shortcut = self.shortcut(self.layers.features(image))
        return self.layers.with_features(inner, self.layers.features(inner) + shortcut)


def _blocks(layers: Layers, fan_in: int, fan_out: int, level: int) -> nn.Sequential:
    return nn.Sequential(_Block(layers, fan_in, fan_out, level), _Block(layers, fan_out, fan_out, level))


class _Encoder(nn.Module):
    def __init__(self, layers: Layers, channels: list[int]) -> None:
        super().__init__()
        self.input = layers.submanifold(4, channels[0], 0)
        self.blocks = nn.ModuleList(_blocks(layers, c, c, level) for level, c in enumerate(channels))
        self.activations = nn.ModuleList(_Activation(layers, c) for c in channels[:-1])
        self.downs = nn.ModuleList(layers.down(a, b, level) for level, (a, b) in enumerate(pairwise(channels)))

    def forward(self, image: Any) -> list[Any]:
        levels = [self.blocks[0](self.input(image))]
        for activation, down, blocks in zip(self.activations, self.downs, self.blocks[1:], strict=True):
            levels.append(blocks(down(activation(levels[-1]))))
        return levels


class _Decoder(nn.Module):
    def __init__(self, layers: Layers, channels: list[int]) -> None:
        super().__init__()
        self.layers = layers
        self.activations = nn.ModuleList(_Activation(layers, c) for c in channels[1:])
        self.ups = nn.ModuleList(layers.up(b, a, level) for level, (a, b) in enumerate(pairwise(channels)))
        self.blocks = nn.ModuleList(_blocks(layers, 2 * c, c, level) for level, c in enumerate(channels[:-1]))

    def forward(self, levels: list[Any]) -> Any:
        image = levels[-1]
        for level in reversed(range(len(self.blocks))):
            raised = self.ups[level](self.activations[level](image))
            parts = [self.layers.features(levels[level]), self.layers.features(raised)]
            image = self.blocks[level](self.layers.with_features(raised, torch.cat(parts, dim=1)))
        return image


class PeerSpice(nn.Module):
    """Embeddings, margins and seediness; 2 residual blocks a level.

    Args:
        layers: those of the peer.
        filters: features at the finest level.
        depth: number of levels.
    """

    def __init__(self, layers: Layers, filters: int, depth: int) -> None:
        super().__init__()
        channels = level_channels(filters, depth)
        self.layers = layers
        self.encoder = _Encoder(layers, channels)
        self.embedding_decoder = _Decoder(layers, channels)
        self.embedding_head = nn.Sequential(_Activation(layers, filters), nn.Linear(filters, 4))
        self.seediness_decoder = _Decoder(layers, channels)
        self.seediness_head = nn.Sequential(_Activation(layers, filters), nn.Linear(filters, 1))

    def forward(self, coordinates: torch.Tensor, features: torch.Tensor, edge: int) -> list[torch.Tensor]:
        """Return (N, 3) embeddings, (N,) margins, (N,) seediness; rows in the order of the peer."""
        levels = self.encoder(self.layers.image(coordinates, features, edge))
        embedding = self._head(self.embedding_head, self.embedding_decoder(levels))
        seediness = self._head(self.seediness_head, self.seediness_decoder(levels))
        place = features[:, :3]
        return [torch.tanh(embedding[:, :3]) + place, 2 * embedding[:, 3].sigmoid(), seediness[:, 0].sigmoid()]

    def _head(self, head: nn.Sequential, image: Any) -> torch.Tensor:
        activation, linear = head
        return linear(self.layers.features(activation(image)))


def copy_parameters(source: nn.Module, target: nn.Module) -> None:
    """Copy the parameters of our network to that of a peer with our layout of weights.

    Raises:
        ValueError: the parameters have other shapes.
    """
    for ours, theirs in zip(source.parameters(), target.parameters(), strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(f"parameters of shape {tuple(ours.shape)} and {tuple(theirs.shape)}")
        theirs.data.copy_(ours.data)
