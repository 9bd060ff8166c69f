"""Parses the products of an event to the inputs and labels that the schema names, checked and augmented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.augmentation import Augmenter
from mlreco.iotools.checks import check_classes, check_energies
from mlreco.iotools.interface import holds_classes
from mlreco.iotools.schema import SchemaEntry
from mlreco.voxels import EventVoxels

Event = dict[str, Any]
"""Blobs of an event by schema key, and ``index``, ``event_id`` (3,) int64, ``source`` (2,) int64."""


@dataclass(frozen=True)
class EventParser:
    """Parses events as a schema says.

    Attributes:
        entries: of the schema.
        energies: schema key whose features must not be negative.
        augmenter: changes events when `parse` is given a random generator.
    """

    entries: Sequence[SchemaEntry]
    energies: str | None = None
    augmenter: Augmenter | None = None

    def products(self) -> list[str]:
        """Return the names of the products that are needed, each once."""
        return list(dict.fromkeys(name for entry in self.entries for name in entry.product_names()))

    def parse(
        self, products: Mapping[str, Any], where: str, rng: np.random.Generator | None = None, iteration: int = 0
    ) -> Event:
        """Return the blobs of an event by schema key.

        Args:
            products: by name; those of `products`.
            where: file and event, for messages.
            rng: source of randomness of the augmentation; none without it.
            iteration: of the training, for an augmentation that changes with it.

        Raises:
            UserError: products that do not fit, classes or energies that make no sense.
        """
        for name in filter(holds_classes, products):
            check_classes(products[name], f"{where}: {name}")
        if rng is None or self.augmenter is None:
            return self._blobs(products, where)
        event = self._blobs(self.augmenter.transform(products, rng), where)
        return self.augmenter.jitter(event, rng, iteration)

    def _blobs(self, products: Mapping[str, Any], where: str) -> Event:
        """Return the results of the parsers of the schema."""
        event: Event = {}
        for entry in self.entries:
            try:
                event[entry.key] = entry.parse(products)
            except UserError as error:
                raise UserError(f"{where}: schema key '{entry.key}': {error}") from error
        image = event.get(self.energies) if self.energies is not None else None
        if isinstance(image, EventVoxels):
            check_energies(image, f"{where}: '{self.energies}'")
        return event
