"""Fragments of whole events: the greedy clusterer on every class, with classes and events in parallel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.clustering.embedded_voxels import checked_arrays
from mlreco.post_processing.clustering.greedy import NOISE, GreedyClusterer
from mlreco.semantics import UNKNOWN, ClassScheme
from mlreco.thread_pools import thread_pool


def cluster_event(
    semantics: np.ndarray,
    embeddings: np.ndarray,
    margins: np.ndarray,
    seediness: np.ndarray,
    thresholds: Mapping[str, tuple[float, float]],
    scheme: ClassScheme,
    skip_classes: Collection[str] = (),
    *,
    min_voxels: int = 0,
    unseeded: str = "instance",
    refine_seeds: bool = False,
    executor: Executor | None = None,
) -> np.ndarray:
    """Cluster the voxels of one event class by class.

    Fragments are numbered by class number, then in the order of their seeds. Where the seediness values of a class
    differ, neither the partition nor the numbers depend on the order of rows.

    Args:
        semantics: (N,) integers, class number of each voxel; -1 unknown.
        embeddings: (N, D) floats.
        margins: (N,) floats.
        seediness: (N,) floats.
        thresholds: class name -> (seed threshold, probability threshold), for every class that is not skipped.
        scheme: names of the class numbers.
        skip_classes: names of classes whose voxels get no fragment.
        min_voxels: smaller fragments become -1.
        unseeded: see ``GreedyClusterer``.
        refine_seeds: likewise.
        executor: runs the classes side by side (threads: the kernels release the interpreter's lock); one after the
            other if None.

    Returns:
        (N,) int32 fragment number, unique over classes; -1 for voxels of unknown or skipped class.

    Raises:
        UserError: an unknown class name or number, missing thresholds, or arrays that ``GreedyClusterer`` refuses.
    """
    arrays = checked_arrays(embeddings, margins, seediness)

    def cluster(name: str, rows: np.ndarray) -> np.ndarray:
        if name not in thresholds:
            raise UserError(f"no thresholds for class '{name}', of which the event has {len(rows)} voxels")
        clusterer = GreedyClusterer(*thresholds[name], min_voxels, unseeded, refine_seeds)
        return clusterer.fit_predict(*(values[rows] for values in arrays))

    return fragments_by_class(semantics, len(arrays[0]), cluster, scheme, skip_classes, executor=executor)


def fragments_by_class(
    semantics: np.ndarray,
    voxels: int,
    cluster: Callable[[str, np.ndarray], np.ndarray],
    scheme: ClassScheme,
    skip_classes: Collection[str] = (),
    *,
    executor: Executor | None = None,
) -> np.ndarray:
    """Cluster the voxels of each class of one event and number the fragments of all classes consecutively.

    Args:
        semantics: (N,) integers, class number of each voxel; -1 unknown.
        voxels: N, for the check of ``semantics``.
        cluster: called with the name of a class and the rows of its voxels, never none; returns their labels from 0,
            -1 for noise.
        scheme: names of the class numbers.
        skip_classes: names of classes whose voxels get no fragment.
        executor: runs the classes side by side; one after the other if None.

    Returns:
        (N,) int32 fragment number by class number, then by label; -1 for noise and for voxels of unknown or skipped
        class.

    Raises:
        UserError: an unknown class name or number.
    """
    semantics = _checked_semantics(semantics, voxels, scheme)
    skipped = {scheme.number(name) for name in skip_classes}
    rows_of_class = {
        name: rows
        for number, name in enumerate(scheme.classes)
        if number not in skipped and len(rows := np.flatnonzero(semantics == number))
    }
    run = map if executor is None else executor.map
    fragments = np.full(voxels, NOISE, np.int32)
    count = 0
    for rows, labels in zip(
        rows_of_class.values(), list(run(cluster, rows_of_class, rows_of_class.values())), strict=True
    ):
        fragments[rows] = np.where(labels == NOISE, NOISE, labels + count)
        count += int(labels.max()) + 1
    return fragments


def _checked_semantics(semantics: np.ndarray, voxels: int, scheme: ClassScheme) -> np.ndarray:
    semantics = np.asarray(semantics)
    if semantics.shape != (voxels,):
        raise UserError(f"semantics have shape {semantics.shape}; one for each of {voxels} embeddings is needed")
    outside = (semantics < UNKNOWN) | (semantics >= len(scheme))
    if outside.any():
        row = int(np.argmax(outside))
        raise UserError(
            f"semantics hold {semantics[row]} in row {row}; class scheme '{scheme.name}' ends at {len(scheme) - 1}"
        )
    return semantics


def cluster_events(
    events: Iterable[Mapping[str, np.ndarray]],
    thresholds: Mapping[str, tuple[float, float]],
    scheme: ClassScheme,
    skip_classes: Collection[str] = (),
    *,
    threads: int | None = None,
    **options: Any,
) -> list[np.ndarray]:
    """Cluster several events in parallel.

    Args:
        events: per event the arrays ``semantics``, ``embeddings``, ``margins`` and ``seediness``.
        thresholds: as in ``cluster_event``.
        scheme: as in ``cluster_event``.
        skip_classes: as in ``cluster_event``.
        threads: number of events in work at a time; all processors if None.
        options: further ones of ``cluster_event``.

    Returns:
        The (N,) int32 fragments of each event, equal to those of ``cluster_event``.
    """

    def fragments(event: Mapping[str, np.ndarray]) -> np.ndarray:
        arrays = event["semantics"], event["embeddings"], event["margins"], event["seediness"]
        return cluster_event(*arrays, thresholds, scheme, skip_classes, **options)

    with thread_pool(threads) as executor:
        return list(executor.map(fragments, events))
