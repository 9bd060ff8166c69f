"""What a post-processor is: an object that adds products to an event."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.fragment_graph.pair_tables import where_written
from mlreco.semantics import ClassScheme


class PostProcessor(ABC):
    """Base of the built-in post-processors; those of other packages only need ``__call__``.

    The arguments of the constructor are the keys of the configuration; one named ``class_scheme`` is filled in by the
    program.

    Attributes:
        requires: names of the products that an event must have.
        provides: names of the products that are added.
    """

    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()

    def __call__(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the products to add to an event.

        Args:
            event: name of a product -> its array.
            scheme: the classes of ``semantics``.

        Raises:
            UserError: a product is missing or holds bad values; the message names the event.
        """
        try:
            missing = [name for name in self.requires if name not in event]
            if missing:
                where = where_written(missing[0]) or f"; there are {', '.join(sorted(event))}"
                raise UserError(f"no product '{missing[0]}'{where}")
            return self.process(event, scheme)
        except UserError as error:
            raise UserError(f"{type(self).__name__}: {_identity(event)}{error}") from error

    def of_events(self, events: Sequence[dict[str, np.ndarray]], scheme: ClassScheme) -> list[dict[str, np.ndarray]]:
        """Return the products to add to each of several events, as calls for each would.

        Overridden by post-processors for which one call for all is faster.

        Raises:
            UserError: as for the first event for which the call raises.
        """
        return [self(event, scheme) for event in events]

    @abstractmethod
    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the products to add; ``requires`` are there."""


def products_to_add(
    processor: Callable[..., dict[str, np.ndarray]], events: Sequence[dict[str, np.ndarray]], scheme: ClassScheme
) -> list[dict[str, np.ndarray]]:
    """Return what a post-processor adds to each of several events; those of other packages take one at a time.

    Raises:
        UserError: the post-processor raises it for an event, or returns something else than arrays by name.
    """
    together: Any = getattr(processor, "of_events", None)
    if together is not None:
        return together(events, scheme)
    added = [processor(event, scheme) for event in events]
    for event, products in zip(events, added, strict=True):
        is_right = isinstance(products, Mapping) and all(isinstance(x, np.ndarray) for x in products.values())
        if not is_right:
            raise UserError(
                f"{type(processor).__name__}: {_identity(event)}a post-processor must return a mapping from names of"
                " products to numpy arrays"
            )
    return added


def _identity(event: dict[str, np.ndarray]) -> str:
    if "event_id" not in event:
        return ""
    run, subrun, number = np.ravel(event["event_id"])[:3]
    return f"run {run} subrun {subrun} event {number}: "
