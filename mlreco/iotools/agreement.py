"""Comparison of the products of a file with one another, which finds changed numbers where there is no checksum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.interface import ClusterVoxels, Reader, flat_index, holds_classes, read_product
from mlreco.iotools.larcv3.layout import KINDS
from mlreco.iotools.output.events import VOXEL_PRODUCTS, OutputEventsReader
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.iotools.readers import open_reader
from mlreco.progress import Progress
from mlreco.voxels import EventVoxels

_TOLERANCE = 1e-4
"""Relative difference of energies that may come from another order of additions."""


@dataclass
class Comparison:
    """A comparison of products.

    Attributes:
        text: the statement that is true where the products agree.
        events: number of events in which it was compared.
        others: events in which it is not true.
    """

    text: str
    events: int = 0
    others: list[int] = field(default_factory=list)

    @property
    def suspicious(self) -> bool:
        """Whether it is true in most events but not in all, so that these few are probably damaged."""
        return 0 < len(self.others) <= self.events // 2

    def __str__(self) -> str:
        held = self.events - len(self.others)
        first = f"; not in event {', '.join(map(str, self.others[:5]))}" if self.suspicious else ""
        return f"{self.text}: {held} of {self.events} events{first}"


def compare_products(path: str | Path) -> list[Comparison]:
    """Read every product of every event, which checks each by itself, and compare them.

    Compared are: the voxels of an image with those of its image of classes; the voxels of the sets with those of the
    image, and the sums of their energies with its; the numbers of sets and of particles.

    Args:
        path: a file of events.

    Raises:
        UserError: the file or an event of it cannot be read.
    """
    reader = open_reader(path)
    unusable = getattr(reader, "unusable", {})
    for product, why in unusable.items():
        raise UserError(f"{path}: '{product}' {why}")
    names = [name for name in reader.products() if name.partition("_")[0] in KINDS]
    found: dict[str, Comparison] = {}
    with Progress(f"check {Path(path).name}", total=len(reader)) as progress:
        for index in range(len(reader)):
            for text, holds in _compared(_event(reader, index, names)):
                comparison = found.setdefault(text, Comparison(text))
                comparison.events += 1
                if not holds:
                    comparison.others.append(index)
            progress.advance()
    reader.close()
    return list(found.values())


def read_output(path: str | Path) -> bool:
    """Read everything in an output file.

    Returns:
        Whether the products of the file can be compared: it is no output file, or one with voxels.

    Raises:
        UserError: something cannot be read.
    """
    if not OutputEventsReader.recognizes(path):
        return True
    with HDF5Reader(path) as reader:
        for index in range(len(reader)):
            reader.event(index)
        return set(VOXEL_PRODUCTS) <= set(reader.products)


def _event(reader: Reader, index: int, names: list[str]) -> dict[str, Any]:
    return {name: read_product(reader, index, name) for name in names}


def _compared(event: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the comparisons in an event, and whether the products agree."""
    for name, image in event.items():
        kind, _, producer = name.partition("_")
        if kind == "cluster3d":
            yield from _sets(event, name, producer, image)
        elif holds_classes(name):
            energies = event.get(name.partition("_semantics")[0])
            if energies is not None:
                same = np.array_equal(image.coordinates, energies.coordinates)
                yield f"'{name}' has the voxels of '{name.partition('_semantics')[0]}'", same


def _sets(event: Mapping[str, Any], name: str, producer: str, sets: ClusterVoxels) -> Iterator[tuple[str, bool]]:
    image: EventVoxels | None = event.get(f"sparse3d_{producer}")
    particles: np.ndarray | None = event.get(f"particle_{producer}")
    if particles is not None:
        text = f"'particle_{producer}' has a row for each set of '{name}', or one less"
        yield text, len(particles) in (sets.num_sets, sets.num_sets - 1) or not len(sets)
    if image is None or image.meta.shape != sets.meta.shape:
        return
    voxels = flat_index(image.coordinates, image.meta.shape)
    members = flat_index(sets.coordinates, image.meta.shape)
    rows = np.searchsorted(voxels, members).clip(max=max(len(voxels) - 1, 0))
    inside = voxels[rows] == members if len(voxels) else np.zeros(len(members), bool)
    yield f"the sets of '{name}' lie in the image 'sparse3d_{producer}'", bool(inside.all())
    sums = np.zeros(len(voxels))
    np.add.at(sums, rows[inside], sets.values[inside])
    held = np.unique(rows[inside])
    text = f"the values of '{name}' add up to those of 'sparse3d_{producer}'"
    yield text, bool(np.allclose(sums[held], image.features[held, 0], rtol=_TOLERANCE, atol=1e-6))
