"""Inference: every event of the files through the chain and the post-processing, into one output file."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlreco import compiling
from mlreco.atomic import refuse_to_replace
from mlreco.config import Config
from mlreco.errors import UserError
from mlreco.inference.familiarity import Familiarity
from mlreco.inference.pipeline import InOrder, short_turns
from mlreco.inference.reconstruction import TIME_COLUMNS, Reconstruction, Seconds
from mlreco.inference.true_particles import TRUE_PARTICLES, with_true_particles
from mlreco.iotools import HDF5Writer, Loader, loader_factory
from mlreco.iotools.skipped import WHOLE_FILE, Skipped
from mlreco.models.chain import Chain
from mlreco.models.layers.precision import tf32
from mlreco.post_processing.factories import thresholds_text
from mlreco.progress import Progress
from mlreco.sparse import unchanging
from mlreco.version import __version__

COLUMNS = {"times": TIME_COLUMNS}
"""Names of the columns of products of the output."""
WARNINGS = "warnings"
"""Attribute of the output with warnings about its events, a list as JSON text."""


@dataclass(frozen=True)
class InferenceSummary:
    """What an inference did.

    Attributes:
        output: the file written.
        events_in: events in the input.
        events_out: events in the output; fewer only where ``trainval.iterations`` says so or events are skipped.
        seconds: wall-clock time of the loop, without that for compiling kernels.
        compiling: that time.
        kernels: kernels that were compiled; others were compiled by an earlier process.
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
    compiling: float
    kernels: int
    stage_seconds: dict[str, float]
    left_out: dict[str, str]
    skipped: Sequence[Skipped] = ()
    remarks: Sequence[str] = ()

    def profile(self) -> str:
        """Return a table of the time spent in each step."""
        rows = [f"{'stage':<16}{'s':>9}{'ms/event':>10}{'of wall':>9}"]
        for name, spent in {**self.stage_seconds, "wall": self.seconds}.items():
            share = spent / self.seconds if self.seconds else 0.0
            rows.append(f"{name:<16}{spent:9.2f}{1e3 * spent / max(1, self.events_out):10.1f}{share:9.0%}")
        return "\n".join(rows)


def run_inference(
    config: Config,
    output: str | Path,
    *,
    weights: str | Path | None = None,
    reconstruction: Reconstruction | None = None,
    sources: Sequence[str | Path] | None = None,
    keep: Callable[[str], bool] | None = None,
    info: Mapping[str, Any] | None = None,
    show_progress: bool = True,
) -> InferenceSummary:
    """Reconstruct the events of a configuration's files.

    Args:
        config: a checked configuration (:func:`mlreco.config.load_config`).
        output: HDF5 file to write; it appears only when complete.
        weights: checkpoint that comes before those that the configuration names.
        reconstruction: the chain of the configuration where it is built already.
        sources: files of events to read instead of those of the configuration.
        keep: function of the name of a product that says whether it is written; all products are if None.
        info: further attributes of the file.
        show_progress: whether the progress is shown.

    Raises:
        UserError: a mistake in the configuration or the data; a stage without weights; an output that is an input.
    """
    output = Path(output)
    reconstruction = reconstruction or Reconstruction(config, weights)
    loader = inference_loader(config, reconstruction, sources)
    refuse_to_replace(output, loader.dataset.files)
    started, waited, compiled = time.perf_counter(), compiling.seconds(), compiling.kernels()
    attributes = {**output_info(config, reconstruction, loader.dataset.files), **(info or {})}
    with (
        loader,
        HDF5Writer(output, attributes, COLUMNS) as writer,
        Progress("inference", total=len(loader.dataset), shown=show_progress) as progress,
        tf32(config["trainval"]["tf32"]),
    ):
        finish = _Finish(reconstruction, writer, progress, keep)
        warnings = _reconstruct(loader, reconstruction, finish, config["trainval"].get("iterations"))
        writer.list_skipped(loader.skipped)
        writer.tell("seconds", time.perf_counter() - started)
        writer.tell(WARNINGS, json.dumps(warnings))
    waited = compiling.seconds() - waited
    return InferenceSummary(
        output,
        len(loader.dataset),
        writer.num_events,
        time.perf_counter() - started - waited,
        waited,
        compiling.kernels() - compiled,
        finish.seconds,
        dict(loader.dataset.left_out),
        loader.skipped,
        (*loader.dataset.remarks, *warnings),
    )


def _reconstruct(loader: Loader, reconstruction: Reconstruction, finish: _Finish, most: int | None) -> list[str]:
    """Run the events of a loader through the chain and finish them in their order.

    Args:
        loader: of the batches.
        reconstruction: the chain and its post-processing.
        finish: called with the events of each batch and the outputs of the networks.
        most: number of batches after which to stop.

    Returns:
        what the user should know of the events.
    """
    familiarity = Familiarity(reconstruction.trained)
    with InOrder() as finisher, unchanging(reconstruction.chain), short_turns():
        for events in reconstruction.networks(loader, most):
            for event, _ in events:
                familiarity.add(event)
            finisher.submit(finish, events)
        finisher.wait()
    _refuse_lost_events(loader, finish.writer, most)
    warning = familiarity.warning()
    return [] if warning is None else [warning]


def _refuse_missing_classes(chain: Chain, left_out: Mapping[str, str]) -> None:
    """Raise an error if a stage works in true classes and the files hold none of the blobs that have them."""
    if not left_out or set(chain.loss_input) - set(left_out):
        return
    for name in chain.requiring("labels"):
        raise UserError(
            f"{next(iter(left_out.values()))}; stage '{name}' works in true classes, which files "
            f"without labels do not have: set model.modules.{name}.semantics to 'predicted', behind a stage that "
            "segments"
        )


def _refuse_lost_events(loader: Loader, writer: HDF5Writer, most: int | None) -> None:
    """Raise an error if events that were to be reconstructed are neither in the output nor skipped."""
    skipped = sum(one.entry != WHOLE_FILE for one in loader.skipped)
    if most is None and writer.num_events + skipped != len(loader.dataset):
        raise RuntimeError(f"of {len(loader.dataset)} events {writer.num_events} came out and {skipped} were skipped")


def inference_loader(
    config: Mapping[str, Any], reconstruction: Reconstruction, sources: Sequence[str | Path] | None = None
) -> Loader:
    """Return the loader of the files of a configuration, or of others; labels may be missing in them.

    Raises:
        UserError: a mistake in the section ``iotool``, files that cannot be read, or labels that the chain needs.
    """
    chain = reconstruction.chain
    loader = loader_factory(
        with_true_particles(config["iotool"]),
        train=False,
        optional=(*chain.loss_input, TRUE_PARTICLES),
        sources=sources,
        class_scheme=config["model"]["class_scheme"],
        energies=chain.network_input,
        pin_memory=reconstruction.device.type == "cuda",
    )
    loader.dataset.left_out.pop(TRUE_PARTICLES, None)
    _refuse_missing_classes(chain, loader.dataset.left_out)
    return loader


def output_info(config: Config, reconstruction: Reconstruction, files: Iterable[str | Path]) -> dict[str, Any]:
    """Return the attributes of an output file: program, configuration, weights and input files."""
    scheme = reconstruction.chain.scheme
    return {
        "mlreco_version": __version__,
        "torch_version": str(torch.__version__),
        "cfg": config.text,
        "class_scheme": scheme.name,
        "classes": list(scheme.classes),
        "thresholds": thresholds_text(reconstruction.processors, reconstruction.chain.in_true_classes),
        "post_processors": list(config.get("post_processing") or {}),
        "source_files": list(files),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


class _Finish:
    """Post-processes and writes the events of batches, and adds up the time of each step."""

    def __init__(
        self,
        reconstruction: Reconstruction,
        writer: HDF5Writer,
        progress: Progress,
        keep: Callable[[str], bool] | None,
    ) -> None:
        self.keep = keep
        self.reconstruction = reconstruction
        self.writer = writer
        self.progress = progress
        self.seconds = dict.fromkeys((*TIME_COLUMNS, "writing"), 0.0)

    def __call__(self, batch: Sequence[tuple[dict[str, np.ndarray], Seconds]]) -> None:
        times = self.reconstruction.finish(batch)
        watch = compiling.Stopwatch()
        events = [event for event, _ in batch]
        if self.keep is not None:
            events = [{name: rows for name, rows in event.items() if self.keep(name)} for event in events]
        self.writer.append_batch(events)
        for name, seconds in zip(self.seconds, (*map(sum, zip(*times, strict=True)), watch.lap()), strict=True):
            self.seconds[name] += seconds
        self.progress.advance(len(events))
