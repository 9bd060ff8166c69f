"""Inference: every event of the files through the chain and the post-processing, into one output file."""

from __future__ import annotations

import datetime
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlreco import __version__
from mlreco.atomic import refuse_to_replace
from mlreco.errors import UserError
from mlreco.inference.on_device import process_batch, remaining
from mlreco.inference.pipeline import InOrder, prefetched, short_turns, timed
from mlreco.inference.products import events_of, voxel_products
from mlreco.inference.side_by_side import side_by_side
from mlreco.iotools import HDF5Writer, loader_factory
from mlreco.iotools.skipped import Skipped
from mlreco.models.assembly import build_chain
from mlreco.models.chain import Chain
from mlreco.models.layers.precision import autocast, tf32
from mlreco.models.transfer import BatchOnItsWay, send
from mlreco.post_processing.factories import build_post_processors, thresholds_text
from mlreco.progress import Progress

TIME_COLUMNS = ("io", "network", "post_processing")
"""Columns of the product ``times``: seconds an event; those of a batch are shared equally by its events."""
_MOST_AT_ONCE = 8
"""Batches whose network runs at the same time on a CPU, each with its part of the threads: no layer of one waits for
the others, nor for the threads that read and write."""
_VOXELS_AT_ONCE = 150_000
"""Voxels that they have together, unless a batch alone has more; what a network needs of memory grows with them."""


@dataclass(frozen=True)
class InferenceSummary:
    """What an inference did.

    Attributes:
        output: the file written.
        events_in: events in the input.
        events_out: events in the output; fewer only where ``trainval.iterations`` says so or events are skipped.
        seconds: wall-clock time of the loop.
        stage_seconds: time spent reading, in the network, in post-processing and writing; these overlap, and so do the
            networks of several batches.
        left_out: blobs of labels that the files do not hold, with the reason.
        skipped: events and files that cannot be read, where ``iotool.on_error`` is ``skip``.
        remarks: what the user should know of the files.
    """

    output: Path
    events_in: int
    events_out: int
    seconds: float
    stage_seconds: dict[str, float]
    left_out: dict[str, str]
    skipped: Sequence[Skipped] = ()
    remarks: Sequence[str] = ()

    def profile(self) -> str:
        """Tell where the time went, as a table."""
        rows = [f"{'stage':<16}{'s':>9}{'ms/event':>10}{'of wall':>9}"]
        for name, spent in {**self.stage_seconds, "wall": self.seconds}.items():
            share = spent / self.seconds if self.seconds else 0.0
            rows.append(f"{name:<16}{spent:9.2f}{1e3 * spent / max(1, self.events_out):10.1f}{share:9.0%}")
        return "\n".join(rows)


def run_inference(
    config: Mapping[str, Any], output: str | Path, *, weights: str | Path | None = None
) -> InferenceSummary:
    """Reconstruct the events of a configuration's files.

    Args:
        config: a checked configuration (:func:`mlreco.config.load_config`).
        output: HDF5 file to write; it appears only when complete.
        weights: checkpoint that comes before those that the configuration names.

    Raises:
        UserError: a mistake in the configuration or the data; a stage without weights; an output that is an input.
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
    device = next(chain.parameters()).device
    loader = loader_factory(
        config["iotool"],
        train=False,
        optional=chain.loss_input,
        class_scheme=model["class_scheme"],
        energies=chain.network_input,
        pin_memory=device.type == "cuda",
    )
    _refuse_missing_classes(chain, loader.dataset.left_out)
    refuse_to_replace(output, loader.dataset.files)
    processors = build_post_processors(config.get("post_processing") or {}, chain.scheme)
    started = time.perf_counter()
    with (
        loader,
        HDF5Writer(output, _info(config, chain, processors, loader), {"times": TIME_COLUMNS}) as writer,
        Progress("inference", total=len(loader.dataset)) as progress,
        InOrder() as finisher,
        tf32(config["trainval"]["tf32"]),
        short_turns(),
    ):
        finish = _Finish(processors, chain, writer, progress)
        network = _Network(chain, config["trainval"]["amp"], processors)
        batches = timed(itertools.islice(loader, config["trainval"].get("iterations")))
        places = 1 if device.type == "cuda" else min(_MOST_AT_ONCE, torch.get_num_threads())
        waiting = prefetched(send(batches, device), depth=places + 1)
        for events in side_by_side(network, waiting, places, network.voxels, _VOXELS_AT_ONCE):
            for event, seconds in events:
                finisher.submit(finish, event, seconds)
        writer.list_skipped(loader.skipped)
    return InferenceSummary(
        output,
        len(loader.dataset),
        writer.num_events,
        time.perf_counter() - started,
        finish.seconds,
        dict(loader.dataset.left_out),
        loader.skipped,
        loader.dataset.remarks,
    )


def _refuse_missing_classes(chain: Chain, left_out: Mapping[str, str]) -> None:
    """Raise where a stage works in true classes and the files hold none of the blobs that could tell them."""
    if not left_out or set(chain.loss_input) - set(left_out):
        return
    for name, stage in chain.stages.items():
        if "labels" in stage.requires:
            raise UserError(
                f"{next(iter(left_out.values()))}; stage '{name}' works in true classes, which files "
                f"without labels do not have: set model.modules.{name}.semantics to 'predicted', behind a stage that "
                "segments"
            )


def _info(config: Mapping[str, Any], chain: Chain, processors: list[Any], loader: Any) -> dict[str, Any]:
    return {
        "mlreco_version": __version__,
        "torch_version": str(torch.__version__),
        "cfg": config.text,
        "class_scheme": chain.scheme.name,
        "classes": list(chain.scheme.classes),
        "thresholds": thresholds_text(processors),
        "post_processors": list(config.get("post_processing") or {}),
        "source_files": json.dumps([str(file) for file in loader.dataset.files]),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


class _Network:
    """The chain, and post-processing where its output is; several threads may call it at once."""

    def __init__(self, chain: Chain, amp: str, processors: list[Any]) -> None:
        self.chain = chain
        self.amp = amp
        self.processors = processors
        self.device = next(chain.parameters()).device

    def voxels(self, batch: BatchOnItsWay) -> int:
        """Return how many voxels a batch has."""
        return len(batch.host[self.chain.network_input])

    @torch.inference_mode()
    def __call__(self, batch: BatchOnItsWay) -> list[tuple[dict[str, np.ndarray], tuple[float, float, float]]]:
        """Return every event with the seconds of reading, of the network and of post-processing on its device."""
        started = time.perf_counter()
        voxels = batch.host[self.chain.network_input]
        with autocast(self.amp, self.device):
            products = self.chain(batch.arrived())
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        computed = time.perf_counter()
        products |= process_batch(self.processors, products, voxels.batch_size, self.chain.scheme)
        processed = time.perf_counter()
        arrays = voxel_products(voxels, products)
        network = computed - started + time.perf_counter() - processed
        times = tuple(seconds / voxels.batch_size for seconds in (batch.seconds, network, processed - computed))
        return [(event, times) for event in events_of(batch.host, voxels, arrays)]


class _Finish:
    """Post-processing and writing of an event; adds up where the time goes."""

    def __init__(self, processors: list[Any], chain: Chain, writer: HDF5Writer, progress: Progress) -> None:
        self.processors = processors
        self.scheme = chain.scheme
        self.writer = writer
        self.progress = progress
        self.seconds = dict.fromkeys((*TIME_COLUMNS, "writing"), 0.0)

    def __call__(self, event: dict[str, np.ndarray], before: tuple[float, float, float]) -> None:
        started = time.perf_counter()
        for processor in remaining(self.processors, event):
            event.update(processor(event, self.scheme))
        processed = time.perf_counter()
        times = (*before[:2], before[2] + processed - started)
        event["times"] = np.array([times], np.float32)
        self.writer.append(event)
        for name, seconds in zip(self.seconds, (*times, time.perf_counter() - processed), strict=True):
            self.seconds[name] += seconds
        self.progress.advance()
