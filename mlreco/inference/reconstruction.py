"""A chain with its post-processing, from batches of input to events with all products."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlreco.compiling import Stopwatch
from mlreco.errors import UserError
from mlreco.inference.familiarity import training_data
from mlreco.inference.on_device import process_batch, remaining
from mlreco.inference.pipeline import prefetched, timed
from mlreco.inference.products import events_of, other_products, voxel_products
from mlreco.inference.side_by_side import side_by_side
from mlreco.models.assembly import build_chain
from mlreco.models.layers.precision import autocast
from mlreco.models.transfer import BatchOnItsWay, send
from mlreco.post_processing.factories import build_post_processors
from mlreco.post_processing.processor import products_to_add

TIME_COLUMNS = ("io", "network", "post_processing")
"""Columns of the product ``times``: seconds of each event, without the time for compiling kernels. The time of a batch
is divided equally among its events."""
MOST_AT_ONCE = 8
"""Batches that go through the network at the same time on a CPU. Each has its own part of the threads, so that a layer
waits neither for another batch nor for the threads that read and write."""
VOXELS_AT_ONCE = 400_000
"""Most voxels of the batches that go through the network at the same time, since its memory grows with them: room for
six batches of the chains `thin` and `fat`. A single batch may have more."""

Seconds = tuple[float, float, float]
"""Seconds of reading, of the network, and of post-processing on its device."""


class Reconstruction:
    """The chain of a configuration, with weights, and its post-processing.

    Args:
        config: a checked configuration.
        weights: checkpoint that comes before those that the configuration names.

    Attributes:
        chain: the networks, ready for inference.
        processors: the post-processors, in their order.
        device: where the networks run.
        trained: fingerprint of the events that the weights were trained on; None where the checkpoints have none.

    Raises:
        UserError: the model cannot be built, weights do not fit, or a stage has none.
    """

    def __init__(self, config: Mapping[str, Any], weights: str | Path | None = None) -> None:
        self.chain, loaded = build_chain(config, weights)
        for name, stage in self.chain.stages.items():
            if name not in loaded and any(True for _ in stage.parameters()):
                raise UserError(
                    f"stage '{name}' has no weights: give --weights CHECKPOINT, trainval.model_path or "
                    f"model.modules.{name}.model_path"
                )
        self.chain.eval()
        self.device = next(self.chain.parameters()).device
        self.processors = build_post_processors(config.get("post_processing") or {}, self.chain.scheme)
        self.trained = training_data(config, weights)
        self._unwritten = self.chain.unwritten()
        self._amp = config["trainval"]["amp"]

    @property
    def places(self) -> int:
        """Number of batches that go through the network at the same time."""
        return 1 if self.device.type == "cuda" else min(MOST_AT_ONCE, torch.get_num_threads())

    def voxels(self, batch: BatchOnItsWay) -> int:
        """Return how many voxels a batch has."""
        return len(batch.host[self.chain.network_input])

    def networks(
        self, batches: Iterable[Mapping[str, Any]], most: int | None = None
    ) -> Iterator[list[tuple[dict[str, np.ndarray], Seconds]]]:
        """Yield the events of each batch with the outputs of the networks; batches keep their order.

        Args:
            batches: batches of the data loader; read ahead in a thread.
            most: number of batches after which to stop.
        """
        waiting = prefetched(send(timed(itertools.islice(batches, most)), self.device), self.places + 1)
        return side_by_side(self.network, waiting, self.places, self.voxels, VOXELS_AT_ONCE)

    @torch.inference_mode()
    def network(self, batch: BatchOnItsWay) -> list[tuple[dict[str, np.ndarray], Seconds]]:
        """Return the events of a batch with the outputs of the networks; several threads may call it at once."""
        watch = Stopwatch()
        voxels = batch.host[self.chain.network_input]
        with autocast(self._amp, self.device):
            products = self.chain(batch.arrived())
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        computed = watch.lap()
        products |= process_batch(self.processors, products, voxels.batch_size, self.chain.scheme)
        processed = watch.lap()
        arrays = voxel_products(voxels, products)
        network = computed + watch.lap()
        times = tuple(seconds / voxels.batch_size for seconds in (batch.seconds, network, processed))
        return [(event, times) for event in events_of(batch.host, voxels, arrays, other_products(products))]

    def finish(self, batch: Sequence[tuple[dict[str, np.ndarray], Seconds]]) -> list[Seconds]:
        """Run the post-processors that have not run on the network's device, and add their products and ``times``.

        Products that stages make for post-processors only are removed.

        Args:
            batch: the events of a batch of :meth:`networks`; changed in place.

        Returns:
            The seconds of each event by ``TIME_COLUMNS``.
        """
        watch = Stopwatch()
        events = [event for event, _ in batch]
        for processor in remaining(self.processors, events[0]):
            for event, added in zip(events, products_to_add(processor, events, self.chain.scheme), strict=True):
                event.update(added)
        spent = watch.lap() / len(events)
        times = [(*before[:2], before[2] + spent) for _, before in batch]
        for event, seconds in zip(events, times, strict=True):
            for name in self._unwritten:
                event.pop(name, None)
            event["times"] = np.array([seconds], np.float32)
        return times
