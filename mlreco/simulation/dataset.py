"""Events that are simulated when they are asked for: a source for training that never ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.iotools.augmentation import Augmenter
from mlreco.iotools.event_parser import Event, EventParser
from mlreco.iotools.interface import holds_classes
from mlreco.iotools.schema import read_schema
from mlreco.iotools.skipped import Skipped
from mlreco.semantics import MLRECO, PILARNET
from mlreco.simulation.options import Options, options_from_mapping
from mlreco.simulation.process import SimulationProcess
from mlreco.simulation.products import NAMES

_WHERE = "iotool.dataset.simulation"
_EVENTS = 2**31
"""Numbers of events; at 1000 a second a training would meet the first again after 25 days of seeing all others."""


class SimulatedDataset:
    """Events by number, simulated as they are needed, by a process beside each process that reads.

    An event depends on the options and its number alone. A training that takes them in order (`endless` tells the
    loader to do so) never sees one twice, and continues with the next one when it is resumed.

    Args:
        schema: key to parser, as for ``LArCVDataset``; the products are `products.NAMES`.
        simulation: fields of `Options`, with one ``mode``; a ``seed`` that is absent is that of the training.
        seed: of the training.
        class_scheme: must be that of the image of classes in the schema.
        optional: schema keys that may be left out; none is.
        augmenter: changes events when `fetch` is given a random generator.
        energies: schema key whose features must not be negative.
        skip: taken for compatibility; every event can be simulated.

    Attributes:
        endless: True.
        files: one name that stands for the simulation in messages and tables.
        keys: schema keys that events have.
        left_out: empty.
        remarks: empty.
        options: what is simulated.

    Raises:
        UserError: Geant4 is not installed, options make no sense, the schema asks for a product that is not simulated
            or the class scheme is another.
    """

    endless = True

    def __init__(
        self,
        schema: Mapping[str, Any],
        simulation: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        class_scheme: str = PILARNET.name,
        optional: Iterable[str] = (),
        augmenter: Augmenter | None = None,
        energies: str | None = None,
        skip: bool = False,
    ) -> None:
        self.options = dataset_options({"seed": seed, **(simulation or {})})
        entries = read_schema(schema, {"class_scheme": class_scheme})
        self._parser = EventParser(entries, energies, augmenter)
        for name in self._parser.products():
            if name not in NAMES:
                raise UserError(f"iotool.dataset.schema: '{name}' is not simulated{nearest(name, NAMES)}")
            scheme = MLRECO.name if name.endswith(f"_{MLRECO.name}") else PILARNET.name
            if holds_classes(name) and class_scheme != scheme:
                raise UserError(
                    f"iotool.dataset.schema: the classes of '{name}' are numbered as in '{scheme}', and "
                    f"model.class_scheme is '{class_scheme}'"
                )
        self.keys = tuple(entry.key for entry in entries)
        self.files = [Path(f"simulation of seed {self.options.seed}")]
        self.left_out: dict[str, str] = {}
        self.remarks: tuple[str, ...] = ()
        self.skipped_files: tuple[Skipped, ...] = ()
        self._process = SimulationProcess(self.options)

    def __len__(self) -> int:
        return _EVENTS

    def __getitem__(self, index: int) -> Event:
        return self.fetch(index)

    def fetch(self, index: int, rng: np.random.Generator | None = None, iteration: int = 0) -> Event:
        """Return a simulated, parsed event.

        Args:
            index: number of the event.
            rng: source of randomness of the augmentation; none without it.
            iteration: of the training, for an augmentation that changes with it.

        Raises:
            UserError: Geant4 dies over the event again and again.
        """
        (products,) = self._process.event(index).products.values()
        needed = {name: products[name] for name in self._parser.products()}
        event = self._parser.parse(needed, self.describe(index), rng, iteration)
        event["index"] = int(index)
        event["event_id"] = np.array([self.options.seed, 0, index], dtype=np.int64)
        event["source"] = np.array([0, index], dtype=np.int64)
        return event

    def source(self, index: int) -> tuple[int, int]:
        """Return 0 and the number of the event, where files would have their number and an entry."""
        return 0, index

    def describe(self, index: int) -> str:
        """Return the beginning of a message about an event."""
        return f"{self.files[0]}: event {index}"

    def close(self) -> None:
        """End the process that simulates; the next event starts it again."""
        self._process.close()


def dataset_options(simulation: Mapping[str, Any]) -> Options:
    """Return the options of a section ``iotool.dataset.simulation``.

    Raises:
        UserError: an unknown key, a value that makes no sense, or several modes.
    """
    options = options_from_mapping(simulation, _WHERE)
    if len(options.modes) > 1:
        raise UserError(f"{_WHERE}.mode: a training sees one kind of image, not {' and '.join(options.modes)}")
    return options
