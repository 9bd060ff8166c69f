"""A trained chain that reconstructs events from arrays or files."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from mlreco.config import Config
from mlreco.errors import UserError
from mlreco.inference.familiarity import Familiarity
from mlreco.inference.pipeline import prefetched, short_turns
from mlreco.inference.reconstruction import Reconstruction
from mlreco.inference.run import COLUMNS, WARNINGS, InferenceSummary, inference_loader, output_info, run_inference
from mlreco.iotools import Loader
from mlreco.iotools.collate import Batch
from mlreco.models.layers.precision import tf32
from mlreco.recipes import read_recipe
from mlreco.reconstructor.arrays import GivenEvent
from mlreco.reconstructor.event import Event, has_row_per_voxel
from mlreco.reconstructor.given import Given, given_batch
from mlreco.remote import is_remote, local_checkpoint
from mlreco.sparse import unchanging

DEFAULT_SHAPE = 512
"""Default number of voxels along an edge of the image, that of the training events of the shipped chains."""
ARRAYS = "arrays"
"""Name in place of the input file for events that were given as arrays."""

ENOUGH = 20
"""Number of events of a stream after which they are compared with those of the training."""


class UnfamiliarEvents(UserWarning):
    """Events do not look like those that the weights were trained on."""


class Reconstructor:
    """A trained chain: networks, clusterer and further post-processing, as its configuration says.

    Made by `from_pretrained`. One object reconstructs any number of events. Threads may share one: their calls of
    `predict` take turns. Other processes get one by pickle, and read its weights from the same files.

    Args:
        config: a checked configuration (`mlreco.config.load_config`).
        weights: checkpoint that comes before those that the configuration names.
        name: what it is called.

    Attributes:
        config: the configuration.
        name: as given.

    Raises:
        UserError: no configuration, a stage without weights, or weights that do not fit.
    """

    def __init__(self, config: Config, weights: str | Path | None = None, name: str = "chain") -> None:
        if not isinstance(config, Config):
            raise UserError(
                f"a Reconstructor is made of a checked configuration, not of {type(config).__name__}; "
                f"Reconstructor.from_pretrained takes names and files"
            )
        self.config = config
        self.name = name
        self._weights = None if weights is None else Path(weights).absolute()
        self._reconstruction = Reconstruction(config, self._weights)
        self._turn = threading.Lock()

    def __reduce__(self) -> tuple[type[Reconstructor], tuple[Config, Path | None, str]]:
        return type(self), (self.config, self._weights, self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Reconstructor:
        kind, arguments = self.__reduce__()
        return kind(*arguments)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        weights: str | Path | None = None,
        device: str = "cpu",
        overrides: Sequence[str] = (),
        sha256: str | None = None,
    ) -> Reconstructor:
        """Return the chain of a name.

        Args:
            name: a shipped chain (``thin``, ``fat``; ``mlreco configs`` lists them), a checkpoint of ``mlreco train``,
                a configuration file, or a checkpoint elsewhere: a URL, or ``hf://owner/repository/file`` of the Hugging
                Face hub.
            weights: checkpoint with the weights of the whole chain, here or elsewhere, instead of those that the name
                stands for.
            device: ``cpu``, ``cuda`` or ``cuda:1``.
            overrides: changes of the configuration, as ``--set`` takes them: ``trainval.gpus=0``.
            sha256: checksum of the one checkpoint from elsewhere, where it does not stand at the end of its address
                (``...#sha256=...``); the checkpoint is kept in the user's cache folder.

        Raises:
            UserError: no such name, no weights, no such device, or a mistake in the configuration.
        """
        if isinstance(overrides, str):
            overrides = [overrides]
        for what, given in (("the name of a chain", name), ("weights", "" if weights is None else weights)):
            if not isinstance(given, (str, Path)):
                raise UserError(f"{what} must be a text or a path, not {type(given).__name__}")
        elsewhere = [given for given in (name, weights or "") if is_remote(given)]
        if sha256 is not None and len(elsewhere) != 1:
            raise UserError("sha256 is the checksum of one checkpoint from elsewhere: a URL, or hf://...")
        gpus = f"trainval.gpus='{_gpus(device)}'"
        recipe = read_recipe(name, [*overrides, gpus], sha256=sha256 if is_remote(name) else None)
        if weights:
            checkpoint = local_checkpoint(weights, sha256 if is_remote(weights) else None)
            return cls(recipe.config, checkpoint, str(name))
        return cls(recipe.config, recipe.checkpoint, str(name))

    def __repr__(self) -> str:
        stages = ", ".join((*self._reconstruction.chain.stages, *self.config["post_processing"]))
        return f"<Reconstructor {self.name}: {stages}; on {self._reconstruction.device}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the semantic classes, by number."""
        return self._reconstruction.chain.scheme.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y, z of the images that the chain was trained on, 512 where this is not known."""
        trained = self._reconstruction.trained
        shapes = trained.image_shapes if trained else ()
        return shapes[0] if len(shapes) == 1 else (DEFAULT_SHAPE,) * 3

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self._reconstruction.device

    @overload
    def predict(
        self,
        coordinates: np.ndarray | Event,
        energies: np.ndarray | None = None,
        *,
        voxel_size: float | Sequence[float] | None = None,
        image_shape: int | Sequence[int] | None = None,
        image_origin: float | Sequence[float] = 0.0,
        semantics: np.ndarray | None = None,
    ) -> Event: ...

    @overload
    def predict(
        self,
        coordinates: Sequence[np.ndarray] | Iterable[Event],
        energies: Sequence[np.ndarray] | None = None,
        *,
        voxel_size: float | Sequence[float] | None = None,
        image_shape: int | Sequence[int] | None = None,
        image_origin: float | Sequence[float] = 0.0,
        semantics: Sequence[np.ndarray] | None = None,
    ) -> list[Event]: ...

    def predict(
        self,
        coordinates: Any,
        energies: Any = None,
        *,
        voxel_size: Any = None,
        image_shape: Any = None,
        image_origin: Any = 0.0,
        semantics: Any = None,
    ) -> Event | list[Event]:
        """Reconstruct an event, or a list of events.

        The result of an event depends neither on the order of its voxels nor on the events beside it, and is the same
        to the last bit as that of ``mlreco inference``. Its rows are in the order that was given; voxels that are given
        twice are merged, their energies added (`Event.row_of_input` tells the row of each).

        Args:
            coordinates: (N, 3) voxel numbers x, y, z from 0; an `Event`, for example of `mlreco.open`; or a list of
                either.
            energies: (N,) deposited energies in MeV, or a list of such arrays; not with events.
            voxel_size: edge of a voxel in cm, or three of them; not with events.
            image_shape: number of voxels along x, y, z, or one for a cube. The network sees where in the image a
                voxel is: give the size of the images that it was trained on, or cut larger ones. By default that of
                the training where all images had one, else 512.
            image_origin: position of the corner of voxel (0, 0, 0) in cm.
            semantics: (N,) true classes, for a chain that clusters in these (``semantics: true`` of its stages),
                or a list of such arrays.

        Raises:
            UserError: arrays of a wrong shape, type or unit; the message says which event, row and what would be right.
        """
        given = Given(coordinates, energies, voxel_size, image_shape, image_origin, semantics)
        found = self._predict(given.events(self._reconstruction.chain, self.image_shape))
        return found[0] if given.is_single else found

    def predict_file(self, source: str | Path | Sequence[str | Path]) -> Iterator[Event]:
        """Yield the events of files one after another, reconstructed, with labels where the files have them.

        Files are read as the section ``iotool`` of the configuration says, a few events ahead.

        Args:
            source: a file, a pattern, a folder, a ``.txt`` list, or several of them.

        Raises:
            UserError: a file cannot be read, or lacks a product that the configuration names.
        """
        return self._stream(inference_loader(self.config, self._reconstruction, _sources(source)))

    def _stream(self, loader: Loader) -> Iterator[Event]:
        info = self._info(loader.dataset.files)
        familiarity = Familiarity(self._reconstruction.trained)
        with loader, self._unchanging(), short_turns():
            for number, products in enumerate(prefetched(self._finished(loader)), start=1):
                familiarity.add(products)
                if number == min(ENOUGH, len(loader.dataset)):
                    _warn(familiarity.warning())
                file, entry = products["source"][0].tolist()
                yield Event(products, info, name=f"{Path(loader.dataset.files[file]).name}, event {entry}")

    def reconstruct_file(self, source: str | Path | Sequence[str | Path], output: str | Path) -> InferenceSummary:
        """Reconstruct the events of files into an output file, as ``mlreco inference`` does.

        Args:
            source: as in `predict_file`.
            output: HDF5 file to write; it appears only when complete.

        Raises:
            UserError: a file cannot be read or written.
        """
        return run_inference(self.config, output, reconstruction=self._reconstruction, sources=_sources(source))

    def _info(self, files: Sequence[str | Path]) -> dict[str, Any]:
        return {**output_info(self.config, self._reconstruction, files), "columns": COLUMNS}

    @contextmanager
    def _unchanging(self) -> Iterator[None]:
        """Keep the weights and the arithmetic of the networks as they are."""
        with tf32(self.config["trainval"]["tf32"]), unchanging(self._reconstruction.chain):
            yield

    def _finished(self, batches: Iterable[Batch]) -> Iterator[dict[str, np.ndarray]]:
        """Yield the products of the events of batches."""
        for events in self._reconstruction.networks(batches):
            self._reconstruction.finish(events)
            for products, _ in events:
                yield products

    def _predict(self, given: Sequence[GivenEvent]) -> list[Event]:
        if not given:
            return []
        size, network_input = self.config["iotool"]["batch_size"], self._reconstruction.chain.network_input
        info = self._info([ARRAYS])
        batches = (given_batch(given[first : first + size], network_input) for first in range(0, len(given), size))
        with self._turn, self._unchanging():
            found = list(self._finished(batches))
        familiarity = Familiarity(self._reconstruction.trained)
        for products in found:
            familiarity.add(products)
        warning = familiarity.warning()
        _warn(warning)
        if warning:
            info[WARNINGS] = json.dumps([warning])
        return [
            Event(_in_order(products, event.order), info, event.row, f"event {number}", _remarks(event, warning))
            for number, (products, event) in enumerate(zip(found, given, strict=True))
        ]


def _gpus(device: str) -> str:
    """Return the value of ``trainval.gpus`` for a device.

    Raises:
        UserError: it is neither the CPU nor a CUDA device.
    """
    kind, _, number = str(device).partition(":")
    if kind == "cpu" and not number:
        return ""
    if kind != "cuda" or not (number.isdecimal() or not number):
        raise UserError(f"no device '{device}'; valid: cpu, cuda, cuda:1")
    return number or "0"


def _sources(source: str | Path | Sequence[str | Path]) -> list[str | Path]:
    given = [source] if isinstance(source, (str, Path)) or not isinstance(source, Iterable) else list(source)
    if not given:
        raise UserError("no data files given")
    for one in given:
        if not isinstance(one, (str, Path)):
            raise UserError(f"a source is the name of a file, not {type(one).__name__}")
    return given


def _in_order(products: dict[str, np.ndarray], order: np.ndarray) -> dict[str, np.ndarray]:
    """Return products with their rows of voxels in another order."""
    rows = len(products["coordinates"])
    return {
        name: values[order] if has_row_per_voxel(name, values, rows) else values for name, values in products.items()
    }


def _remarks(event: GivenEvent, warning: str | None) -> tuple[str, ...]:
    """Return the remarks on an event."""
    remarks = [warning] if warning else []
    if event.row is not None:
        merged = len(event.row) - len(event.order)
        given = f"{merged} of {len(event.row)} voxels were given more than once"
        remarks.append(f"{given} and merged, their energies added")
    return tuple(remarks)


def _warn(text: str | None) -> None:
    """Warn about what the command line would write to stderr."""
    if text:
        warnings.warn(text, UnfamiliarEvents, stacklevel=4)
