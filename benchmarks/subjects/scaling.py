"""Inference time and threads against the number of voxels."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks import images
from benchmarks.measurement import OURS, Measurement, Settings
from benchmarks.network import for_inference, forward, forward_flops, network
from benchmarks.timing import Contender, interleave

TITLE = "Inference of SPICE, from small images to large ones"
INFERENCE = "inference"
_VOXELS, _QUICK = (5_000, 10_000, 20_000, 40_000, 80_000, 150_000), (100, 200)


@torch.no_grad()
def measure(settings: Settings) -> Iterator[Measurement]:
    """Time images of six sizes in turns."""
    net = for_inference(network(8, 3) if settings.quick else network())
    contenders = []
    for size in _QUICK if settings.quick else _VOXELS:
        image = images.voxels(size), images.features(size)
        flops = forward_flops(net, *image)
        for threads in settings.threads:
            contenders.append(Contender(INFERENCE, OURS, _inference(net, image), size, threads, flops))
    yield from interleave(contenders, settings)


def _inference(net: torch.nn.Module, image: tuple[torch.Tensor, torch.Tensor]) -> object:
    return lambda: forward(net, *image)
