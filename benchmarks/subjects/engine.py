"""Inference and training step of the paper's network, ours and those of all peers; our kernel maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from benchmarks import fma_peak, images, peers
from benchmarks.measurement import OURS, Measurement, Settings
from benchmarks.network import DEPTH, FILTERS, for_inference, forward, forward_flops, network, training_step
from benchmarks.peers.network import PeerSpice
from benchmarks.timing import Contender, interleave
from mlreco.sparse import engine
from mlreco.sparse.maps.kernel_map import downsample_map, keys_from_coordinates, submanifold_map

TITLE = "SPICE, 32 filters, 6 levels, 2 decoders"
INFERENCE, TRAINING, MAPS = "inference", "training step", "kernel maps"
PLAIN = "plain torch"


@dataclass(frozen=True)
class Job:
    """An image and the size of the network that takes it."""

    coordinates: torch.Tensor
    features: torch.Tensor
    filters: int = FILTERS
    depth: int = DEPTH

    @classmethod
    def of(cls, voxels: int, settings: Settings) -> Job:
        """Return the job with an image of that many voxels; a tiny one where everything is to be quick."""
        if settings.quick:
            return cls(images.voxels(200), images.features(200), 8, 3)
        return cls(images.voxels(voxels), images.features(voxels))


def measure(settings: Settings) -> Iterator[Measurement]:
    """Time inference, then training, in turns with the multiply-add loop."""
    job = Job.of(16_300, settings)
    flops = forward_flops(network(job.filters, job.depth), job.coordinates, job.features)
    entry = 2.0 * 27 * 4 * job.filters * len(job.features)
    for case, training, cost in ((INFERENCE, False, flops), (TRAINING, True, 3 * flops - entry)):
        contenders = fma_peak.contenders(settings.threads)
        for name, limit, run in runs(job, training):
            for threads in settings.threads:
                if limit is None or threads <= limit:
                    contenders.append(Contender(case, name, run, len(job.features), threads, cost))
        yield from interleave(contenders, settings)
    keys = keys_from_coordinates(job.coordinates.numpy())
    maps = [Contender(MAPS, OURS, lambda: _all_maps(keys, job.depth), len(keys))]
    yield from interleave(maps, settings)


def runs(job: Job, training: bool) -> Iterator[tuple[str, int | None, Callable[[], None]]]:
    """Yield every contender: its name, with how many threads it is right at most, and what it does."""
    ours = network(job.filters, job.depth)
    run = _run(ours, lambda: forward(ours, job.coordinates, job.features), training)
    yield OURS, None, run
    yield PLAIN, None, _on_plain_torch(run)
    for name, layers in peers.installed():
        yield name, layers.threads, _peer(PeerSpice(layers, job.filters, job.depth), job, training)


def _peer(net: PeerSpice, job: Job, training: bool) -> Callable[[], None]:
    edge = images.EDGE
    return _run(net, lambda: net(job.coordinates, job.features, edge), training)


def _run(net: nn.Module, outputs: Callable[[], Sequence[torch.Tensor]], training: bool) -> Callable[[], None]:
    if training:
        return training_step(net.train(), outputs)
    for_inference(net)
    return torch.no_grad()(outputs)


def _on_plain_torch(run: Callable[[], None]) -> Callable[[], None]:
    def on_plain_torch() -> None:
        with engine.use_engine(engine.PLAIN):
            run()

    return on_plain_torch


def _all_maps(keys: np.ndarray, depth: int) -> None:
    """Build what a U-Net of that depth needs: a map within every level and one from each level to the next."""
    for level in range(depth):
        _ = submanifold_map(keys).bounds
        if level < depth - 1:
            down, keys = downsample_map(keys)
            _ = down.bounds, down.transposed().bounds
