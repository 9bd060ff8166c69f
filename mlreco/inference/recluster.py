"""Post-processing of an output file again, with other thresholds or another clusterer, without the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.compiling import Stopwatch
from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.iotools.output.carried import of_the_events
from mlreco.post_processing.factories import build_post_processors, thresholds_text
from mlreco.post_processing.predicted import IN_TRUE_CLASSES, is_in_true_classes
from mlreco.progress import Progress
from mlreco.semantics import class_scheme

_DERIVED = (
    "instances",
    "instance_confidences",
    "instance_interactions",
    "particles",
    "interactions",
    "track_dedx",
    "matches",
    "matches_true",
)
"""Products that are not copied, since post-processing makes them again; tables of particles are not copied either."""
_OF_GRAPHS = "fragment_"
"""Beginning of the names of the outputs of ``grappa``, which are valid for the fragments of this file only."""

_NEW = ("date", "mlreco_version")
"""Attributes with the time at which, and the programs with which, a file was made."""


def recluster(
    source: str | Path,
    post_processing: Mapping[str, Mapping[str, Any] | None],
    output: str | Path,
    cfg: str | None = None,
) -> int:
    """Post-process the events of an output file again and write a new one.

    Everything that the network made is copied; fragments and particles of the input are replaced by what the given
    post-processors make.

    Args:
        source: file that an inference wrote.
        post_processing: name of a post-processor -> its arguments, as in the section of a configuration.
        output: file to write; it appears only when complete.
        cfg: YAML text of the configuration to store; that of the input if None.

    Returns:
        The number of events.

    Raises:
        UserError: not an output file, it lacks a product that is needed, an unknown name or argument, or the output is
            the source.
    """
    source, output = Path(source), Path(output)
    if output.exists() and source.exists() and output.samefile(source):
        raise UserError(f"{output}: is the file to read; give another name")
    with HDF5Reader(source) as reader:
        if "class_scheme" not in reader.info:
            raise UserError(f"{source}: does not tell its class scheme; it is not an output of mlreco")
        scheme = class_scheme(str(reader.info["class_scheme"]))
        processors = build_post_processors(post_processing, scheme)
        info = {name: value for name, value in of_the_events(reader.info).items() if name not in _NEW}
        info["thresholds"] = thresholds_text(processors, _in_true_classes(reader))
        info["post_processors"] = list(post_processing)
        info["reclustered_from"] = str(source)
        info["cfg"] = info.get("cfg", "") if cfg is None else cfg
        kept = _kept(reader.products, processors)
        clock = _Clock(reader.columns.get("times", ()))
        with (
            HDF5Writer(output, info, {k: v for k, v in reader.columns.items() if k in kept}) as writer,
            Progress("post-processing", total=len(reader)) as progress,
        ):
            for index in range(len(reader)):
                event = reader.event(index, reader.products)
                if "fragment_classes" in event:
                    event["semantics"] = _before_correction(event)
                event = {name: event[name] for name in kept}
                watch = Stopwatch()
                for processor in processors:
                    event.update(processor(event, scheme))
                clock.enter(event, watch.lap())
                writer.append(event)
                progress.advance()
            writer.list_skipped(reader.skipped)
            return writer.num_events


def _in_true_classes(reader: HDF5Reader) -> bool:
    """Tell whether the first event was clustered in true classes, as the others then were."""
    marked = IN_TRUE_CLASSES in reader.products and len(reader) > 0
    return marked and is_in_true_classes(reader.event(0, (IN_TRUE_CLASSES,)))


def _kept(products: Sequence[str], processors: Sequence[Any]) -> list[str]:
    """Return the products to copy; fragments and the scores of a graph network only if a post-processor reads them."""
    read = {name for processor in processors for name in getattr(processor, "requires", ())}
    dropped = {*_DERIVED} if "fragment_edge_scores" in read else {*_DERIVED, "fragments"}
    graphs_stay = "fragments" not in dropped
    return [
        name
        for name in products
        if name not in dropped and not name.startswith("particle_") and (graphs_stay or not name.startswith(_OF_GRAPHS))
    ]


def _before_correction(event: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the (N,) classes in which fragments were made, which ``graph_clusterer`` may have replaced."""
    inside = event["fragments"] >= 0
    semantics = event["semantics"].copy()
    semantics[inside] = event["fragment_classes"][event["fragments"][inside]]
    return semantics


class _Clock:
    """Replaces the time of the post-processing.

    Args:
        columns: names of the columns of the product ``times``.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._column = columns.index("post_processing") if "post_processing" in columns else None

    def enter(self, event: dict[str, Any], seconds: float) -> None:
        if self._column is not None:
            event["times"][:, self._column] = seconds
