"""Fragments of whole events: the greedy clusterer on every class, classes and events side by side."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

import numpy as np

from mlreco.errors import UserError
from mlreco.post_processing.embedded_voxels import checked_arrays
from mlreco.post_processing.greedy import NOISE, GreedyClusterer
from mlreco.semantics import UNKNOWN, ClassScheme


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
        executor: runs the classes side by side (threads: the kernels release the interpreter's lock); one after the
            other if None.

    Returns:
        (N,) int32 fragment number, unique over classes; -1 for voxels of unknown or skipped class.

    Raises:
        UserError: an unknown class name or number, missing thresholds, or arrays that ``GreedyClusterer`` refuses.
    """
    arrays = checked_arrays(embeddings, margins, seediness)
    semantics = _checked_semantics(semantics, len(arrays[0]), scheme)
    skipped = {scheme.number(name) for name in skip_classes}
    rows_of_class, clusterers = [], []
    for number, name in enumerate(scheme.classes):
        rows = np.flatnonzero(semantics == number)
        if not len(rows) or number in skipped:
            continue
        if name not in thresholds:
            raise UserError(f"no thresholds for class '{name}', of which the event has {len(rows)} voxels")
        rows_of_class.append(rows)
        clusterers.append(GreedyClusterer(*thresholds[name], min_voxels=min_voxels, unseeded=unseeded))
    run = map if executor is None else executor.map
    parts = list(run(partial(_cluster_rows, arrays), clusterers, rows_of_class))
    fragments = np.full(len(semantics), NOISE, np.int32)
    count = 0
    for rows, labels in zip(rows_of_class, parts, strict=True):
        fragments[rows] = np.where(labels == NOISE, NOISE, labels + count)
        count += int(labels.max()) + 1
    return fragments


def _cluster_rows(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray], clusterer: GreedyClusterer, rows: np.ndarray
) -> np.ndarray:
    embeddings, margins, seediness = arrays
    return clusterer.fit_predict(embeddings[rows], margins[rows], seediness[rows])


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
    min_voxels: int = 0,
    unseeded: str = "instance",
) -> list[np.ndarray]:
    """Cluster several events, side by side.

    Args:
        events: per event the arrays ``semantics``, ``embeddings``, ``margins`` and ``seediness``.
        thresholds: as in ``cluster_event``.
        scheme: as in ``cluster_event``.
        skip_classes: as in ``cluster_event``.
        threads: number of events in work at a time; all processors if None.
        min_voxels: as in ``cluster_event``.
        unseeded: as in ``cluster_event``.

    Returns:
        The (N,) int32 fragments of each event, equal to those of ``cluster_event``.
    """

    def fragments(event: Mapping[str, np.ndarray]) -> np.ndarray:
        arrays = (event[name] for name in ("semantics", "embeddings", "margins", "seediness"))
        return cluster_event(*arrays, thresholds, scheme, skip_classes, min_voxels=min_voxels, unseeded=unseeded)

    with ThreadPoolExecutor(threads or os.cpu_count()) as executor:
        return list(executor.map(fragments, events))
