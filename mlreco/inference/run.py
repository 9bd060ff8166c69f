"""Inference: every event of the files through the chain and the post-processing, into one output file."""

from __future__ import annotations

import datetime
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlreco import __version__
from mlreco.errors import UserError
from mlreco.inference.products import events_of, voxel_products
from mlreco.iotools import HDF5Writer, loader_factory
from mlreco.iotools.checks import check_energies
from mlreco.models.assembly import build_chain
from mlreco.models.chain import Chain
from mlreco.models.transfer import to_device
from mlreco.post_processing.factories import build_post_processors
from mlreco.progress import Progress

TIME_COLUMNS = ("io", "network", "post_processing")
"""Columns of the product ``times``: seconds an event; those of a batch are shared equally by its events."""


@dataclass(frozen=True)
class InferenceSummary:
    """What an inference did.

    Attributes:
        output: the file written.
        events_in: events in the input.
        events_out: events in the output; fewer only where ``trainval.iterations`` says so.
        seconds: wall-clock time of the loop.
        left_out: blobs of labels that the files do not hold, with the reason.
    """

    output: Path
    events_in: int
    events_out: int
    seconds: float
    left_out: dict[str, str]

    def __str__(self) -> str:
        """Tell it in a few lines."""
        rate = self.events_out / self.seconds if self.seconds else 0.0
        counts = f"{self.events_out} of {self.events_in} events"
        lines = [f"{counts} in {self.seconds:.1f} s ({rate:.1f} events/s): {self.output}"]
        lines += [f"no {key}: {reason}" for key, reason in self.left_out.items()]
        return "\n".join(lines)


def run_inference(
    config: Mapping[str, Any], output: str | Path, *, weights: str | Path | None = None
) -> InferenceSummary:
    """Reconstruct the events of a configuration's files.

    Args:
        config: a checked configuration (:func:`mlreco.config.load_config`).
        output: HDF5 file to write; it appears only when complete.
        weights: checkpoint for the stages without a ``model_path``.

    Raises:
        UserError: a mistake in the configuration or the data; a stage without weights.
    """
    output = Path(output)
    model = config["model"]
    chain, loaded = build_chain(config, weights)
    for name in chain.stages:
        if name not in loaded:
            raise UserError(
                f"stage '{name}' has no weights: give --weights CHECKPOINT, trainval.model_path or "
                f"model.modules.{name}.model_path"
            )
    chain.eval()
    loader = loader_factory(
        config["iotool"], train=False, optional=chain.loss_input, class_scheme=model["class_scheme"]
    )
    processors = build_post_processors(config.get("post_processing") or {}, chain.scheme)
    started = time.perf_counter()
    batches = itertools.islice(loader, config["trainval"].get("iterations"))
    with (
        loader,
        HDF5Writer(output, _info(config, chain, processors, loader), {"times": TIME_COLUMNS}) as writer,
        Progress("inference", total=len(loader.dataset)) as progress,
        torch.inference_mode(),
    ):
        events_out = 0
        for event in _reconstruct(batches, chain, processors, loader.dataset):
            writer.append(event)
            events_out += 1
            progress.advance()
    return InferenceSummary(
        output, len(loader.dataset), events_out, time.perf_counter() - started, dict(loader.dataset.left_out)
    )


def _info(config: Mapping[str, Any], chain: Chain, processors: list[Any], loader: Any) -> dict[str, Any]:
    return {
        "mlreco_version": __version__,
        "torch_version": str(torch.__version__),
        "cfg": config.text,
        "class_scheme": chain.scheme.name,
        "classes": list(chain.scheme.classes),
        "thresholds": json.dumps({k: v for p in processors for k, v in getattr(p, "thresholds", {}).items()}),
        "source_files": json.dumps([str(file) for file in loader.dataset.files]),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _reconstruct(batches: Any, chain: Chain, processors: list[Any], dataset: Any) -> Any:
    """Yield the finished events of the batches, in order."""
    device = next(chain.parameters()).device
    batches = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        check_energies(batch, chain.network_input, dataset)
        read = time.perf_counter()
        voxels = batch[chain.network_input]
        products = chain(to_device(batch, device))
        arrays = voxel_products(voxels, products)
        shared = np.array([read - started, time.perf_counter() - read]) / max(1, voxels.batch_size)
        for event in events_of(batch, voxels, arrays):
            before = time.perf_counter()
            for processor in processors:
                event.update(processor(event, chain.scheme))
            event["times"] = np.array([[*shared, time.perf_counter() - before]], np.float32)
            yield event
