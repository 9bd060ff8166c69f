"""The events of an output file for a search, class by class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlreco.post_processing.evaluation.evaluate import EventReader, class_product, require_products
from mlreco.post_processing.tuning.truth import Truth
from mlreco.progress import Progress
from mlreco.thread_pools import thread_pool


@dataclass(frozen=True)
class ClassVoxels:
    """Voxels of one class of one event.

    Attributes:
        number: class number.
        arrays: name of a product -> its rows of these voxels.
        truth: their true instances, never empty.
    """

    number: int
    arrays: Mapping[str, np.ndarray]
    truth: Truth


def class_voxels(
    reader: EventReader, events: Iterable[int], products: tuple[str, ...], min_voxels: int, semantics: str
) -> Iterator[ClassVoxels]:
    """Yield the voxels of each class of each event that has true instances to compare with, in that order.

    Args:
        reader: the file.
        events: numbers of the events.
        products: what is needed of every voxel.
        min_voxels: true instances with fewer voxels in the class do not count.
        semantics: ``predicted``: voxels of a class are those that were clustered in it; ``true``: those of that true
            class.

    Raises:
        UserError: a product that is needed is not in the file.
    """
    chosen = class_product(semantics)
    needed = (chosen, "instances_true", *products)
    require_products(reader, needed)
    for index in events:
        event = reader.event(index, needed)
        for number in range(len(reader.info["classes"])):
            rows = np.flatnonzero(event[chosen] == number)
            truth = Truth.build(event["instances_true"][rows], min_voxels)
            if len(truth):
                yield ClassVoxels(number, {name: event[name][rows] for name in products}, truth)


def values_by_class(
    voxels: Sequence[ClassVoxels], n_classes: int, score: Callable[[ClassVoxels], np.ndarray], threads: int | None
) -> dict[int, list[np.ndarray]]:
    """Score all samples, several at a time.

    Args:
        voxels: the samples.
        n_classes: number of classes.
        score: called with each of them.
        threads: samples in work at a time; all processors if None.

    Returns:
        Class number -> what ``score`` returned for its samples, in their order.
    """
    values: dict[int, list[np.ndarray]] = {number: [] for number in range(n_classes)}
    with thread_pool(threads) as executor, Progress("tune", len(voxels), unit="x") as bar:
        for one, found in zip(voxels, executor.map(score, voxels), strict=True):
            values[one.number].append(found)
            bar.advance()
    return values
