"""The network of the paper: 32 filters, 6 levels, one encoder and two decoders; how much there is to compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from benchmarks.images import EDGE
from mlreco.models.labels import Labels
from mlreco.models.spice import Spice
from mlreco.semantics import class_scheme
from mlreco.sparse import PLAIN, SparseConvolution, SparseConvTensor, unchanging, use_engine

FILTERS, DEPTH = 32, 6
_promises = ExitStack()


def network(filters: int = FILTERS, depth: int = DEPTH) -> Spice:
    """Return SPICE with the same random weights at every call."""
    torch.manual_seed(0)
    return Spice(class_scheme("pilarnet"), filters, depth, semantics="true")


def for_inference(net: nn.Module) -> nn.Module:
    """Return a network in evaluation mode that does not change any more, as in ``run_inference``."""
    _promises.enter_context(unchanging(net))
    return net.eval()


def image(coordinates: torch.Tensor, features: torch.Tensor) -> SparseConvTensor:
    """Return a fresh image: its kernel maps are not built yet."""
    batch_size = int(coordinates[-1, 0]) + 1
    return SparseConvTensor(features, coordinates, (EDGE,) * 3, batch_size)


def forward(net: Spice, coordinates: torch.Tensor, features: torch.Tensor) -> list[torch.Tensor]:
    """Return embeddings, margins and seediness of an image whose kernel maps are built on the way."""
    products = net({"image": image(coordinates, features), "labels": Labels(coordinates[:, 0])})
    return [products[name] for name in ("embeddings", "margins", "seediness")]


def training_step(net: nn.Module, outputs: Callable[[], Sequence[torch.Tensor]]) -> Callable[[], None]:
    """Return a step of Adam whose loss costs nothing: the mean square of the outputs."""
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def run() -> None:
        optimiser.zero_grad(set_to_none=True)
        sum(output.square().mean() for output in outputs()).backward()
        optimiser.step()

    return run


def forward_flops(net: nn.Module, coordinates: torch.Tensor, features: torch.Tensor) -> float:
    """Return the additions and multiplications of all convolutions and linear layers in a forward pass.

    A pair of an input and an output voxel costs 2 Cin Cout. A training step costs three times as much, less the
    gradient of the image.
    """
    found: list[float] = []

    def count(layer: nn.Module, arguments: tuple[Any, ...], _: Any) -> None:
        if isinstance(layer, nn.Linear):
            found.append(2.0 * len(arguments[0]) * layer.in_features * layer.out_features)
        else:
            found.append(2.0 * len(layer.target(arguments[0])[0].in_rows) * layer.in_channels * layer.out_channels)

    layers = [layer for layer in net.modules() if isinstance(layer, (SparseConvolution, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    with use_engine(PLAIN), torch.no_grad():
        forward(net, coordinates, features)
    for handle in handles:
        handle.remove()
    return sum(found)
