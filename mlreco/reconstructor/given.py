"""The input of `Reconstructor.predict`, one or several events as arrays or objects, as a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlreco.errors import UserError
from mlreco.iotools.collate import Batch, join_voxels
from mlreco.models.chain import Chain
from mlreco.models.labels import Labels
from mlreco.reconstructor.arrays import GivenEvent, given_event, image_meta
from mlreco.reconstructor.event import Event
from mlreco.semantics import UNKNOWN
from mlreco.voxels import ImageMeta


@dataclass(frozen=True)
class Given:
    """The arguments of `Reconstructor.predict`, which describes them, as they were given."""

    coordinates: Any
    energies: Any
    voxel_size: Any
    image_shape: Any
    image_origin: Any
    semantics: Any

    @property
    def is_single(self) -> bool:
        """Whether it is one event rather than a list of events."""
        return isinstance(self.coordinates, Event) or not _is_list_of_events(self.coordinates)

    def events(self, chain: Chain, usual_shape: tuple[int, int, int]) -> list[GivenEvent]:
        """Return the events, checked.

        Args:
            chain: what will reconstruct them.
            usual_shape: number of voxels of an image where none was given.

        Raises:
            UserError: arrays of a wrong shape, type or unit, or events that this chain cannot reconstruct.
        """
        several = [self.coordinates] if self.is_single else list(self.coordinates)
        if several and all(isinstance(event, Event) for event in several):
            self._refuse_with_events()
            names = [""] if self.is_single else [f"event {number}: " for number in range(len(several))]
            return [_from_event(event, chain, name) for event, name in zip(several, names, strict=True)]
        if not several:
            return []
        if self.is_single:
            _refuse_names(self.coordinates)
        shape = usual_shape if self.image_shape is None else self.image_shape
        meta = image_meta(self.voxel_size, shape, self.image_origin)
        if self.is_single:
            return [_from_arrays(self.coordinates, self.energies, self.semantics, meta, chain, 0, "")]
        count = len(several)
        energies = _one_each("energies", self.energies, count)
        semantics = [None] * count if self.semantics is None else _one_each("semantics", self.semantics, count)
        given = enumerate(zip(several, energies, semantics, strict=True))
        return [_from_arrays(*arrays, meta, chain, number, f"event {number}: ") for number, arrays in given]

    def _refuse_with_events(self) -> None:
        for word in ("energies", "voxel_size", "image_shape", "semantics"):
            if getattr(self, word) is not None:
                raise UserError(f"{word} cannot be given with an Event, which has its own")


def given_batch(events: Sequence[GivenEvent], network_input: str) -> Batch:
    """Return the events as the data loader makes a batch.

    Args:
        events: what was given.
        network_input: name of the images among the inputs of the chain.
    """
    return {
        network_input: join_voxels([event.image for event in events]),
        "labels": Labels(_joined(events, "semantics"), _joined(events, "instances")),
        "event_id": np.array([event.event_id for event in events], np.int64).reshape(-1, 3),
        "source": np.array([event.source for event in events], np.int64).reshape(-1, 2),
    }


def _from_arrays(
    coordinates: Any, energies: Any, semantics: Any, meta: ImageMeta, chain: Chain, number: int, name: str
) -> GivenEvent:
    return given_event(
        coordinates,
        energies,
        meta,
        semantics=semantics,
        scheme=chain.scheme,
        name=name,
        event_id=(0, 0, number),
        source=(0, number),
    )


def _from_event(event: Event, chain: Chain, name: str) -> GivenEvent:
    scheme = chain.scheme
    own = event.info.get("class_scheme", scheme.name)
    labelled = own == scheme.name
    if not labelled and chain.requiring("labels"):
        said = f"{name}its true classes are numbered as in '{own}'"
        raise UserError(f"{said}, and this chain clusters in those of '{scheme.name}'")
    missing = [one for one in ("coordinates", "energies", "voxel_size", "image_shape") if one not in event]
    if missing:
        raise UserError(f"{name}{event.name} has no '{missing[0]}'; it cannot be reconstructed")
    meta = image_meta(event.voxel_size, event.image_shape, event.image_origin if "image_origin" in event else 0.0)
    return given_event(
        event["coordinates"],
        event["energies"],
        meta,
        semantics=event.get("semantics_true") if labelled else None,
        instances=event.get("instances_true") if labelled else None,
        scheme=scheme,
        name=name,
        event_id=event.event_id if "event_id" in event else (0, 0, 0),
        source=tuple(event["source"][0].tolist()) if "source" in event else (0, 0),
    )


def _is_list_of_events(coordinates: Any) -> bool:
    """Whether something is several events rather than the rows of one."""
    if isinstance(coordinates, np.ndarray) or hasattr(coordinates, "__array__"):
        return False
    if isinstance(coordinates, (list, tuple)):
        return not coordinates or any(isinstance(one, Event) or np.ndim(one) != 1 for one in coordinates[:1])
    return isinstance(coordinates, Iterable) and not isinstance(coordinates, (str, bytes, Mapping))


def _refuse_names(given: Any) -> None:
    """Refuse a name of a file or a mapping of events, before another argument is reported as missing."""
    if isinstance(given, Path) or (isinstance(given, str) and Path(given).suffix):
        raise UserError(f"{given}: files are reconstructed by predict_file; predict takes arrays or events")
    if isinstance(given, Mapping) and any(isinstance(one, Event) for one in given.values()):
        raise UserError(f"events are given as a list, not as {type(given).__name__}")


def _one_each(what: str, values: Any, count: int) -> list[Any]:
    """Return the arrays of a list that must have one for each event."""
    if not isinstance(values, (list, tuple)):
        kind = "nothing" if values is None else type(values).__name__
        raise UserError(f"{what} must be a list of {count} arrays, one for each event, not {kind}")
    if len(values) != count:
        raise UserError(f"{what} must be a list of {count} arrays, one for each event, not of {len(values)}")
    return list(values)


def _joined(events: Sequence[GivenEvent], name: str) -> torch.Tensor | None:
    """Return the labels of a batch; UNKNOWN in events without, None where none has any."""
    found = [getattr(event, name) for event in events]
    if all(one is None for one in found):
        return None
    columns = [np.full(len(e.image), UNKNOWN) if one is None else one for e, one in zip(events, found, strict=True)]
    return torch.from_numpy(np.concatenate(columns))
