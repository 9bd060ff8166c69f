"""Fragments of all events of a batch, on the device where the network left its output."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from mlreco.devices import upload
from mlreco.post_processing.clustering.batched.assignment import assign
from mlreco.post_processing.clustering.batched.seeds import Seeds, find_seeds
from mlreco.post_processing.clustering.batched.segments import Segments, starts_of
from mlreco.post_processing.clustering.fragments import cluster_event
from mlreco.post_processing.clustering.greedy import NOISE, GreedyClusterer
from mlreco.semantics import UNKNOWN, ClassScheme


@torch.no_grad()
def cluster_batch(
    events: Tensor,
    event_count: int,
    semantics: Tensor,
    embeddings: Tensor,
    margins: Tensor,
    seediness: Tensor,
    thresholds: Mapping[str, tuple[float, float]],
    scheme: ClassScheme,
    skip_classes: Collection[str] = (),
    *,
    min_voxels: int = 0,
    unseeded: str = "instance",
) -> Tensor:
    """Cluster the voxels of every event class by class; the fragments and their numbers are those of ``cluster_event``.

    Args:
        events: (N,) integers, number of the event of each voxel in the batch, in any order.
        event_count: number of events, empty ones included.
        semantics: (N,) integers, class number; -1 unknown.
        embeddings: (N, D) floats, any D.
        margins: (N,) floats.
        seediness: (N,) floats.
        thresholds: class name -> (seed threshold, probability threshold), for every class that is not skipped.
        scheme: names of the class numbers.
        skip_classes: names of classes whose voxels get no fragment.
        min_voxels: see ``GreedyClusterer``.
        unseeded: see ``GreedyClusterer``.

    Returns:
        (N,) int32 fragment numbers on the same device, unique over the classes of an event; -1 for none.

    Raises:
        UserError: what ``cluster_event`` refuses, with the row within the event.
    """
    classes, count = len(scheme), event_count * len(scheme)
    skipped = {scheme.number(name) for name in skip_classes}
    limits = [(0.0, 0.0) if n in skipped else thresholds.get(name) for n, name in enumerate(scheme.classes)]
    clusterers = [GreedyClusterer(*(limit or (0.0, 0.0)), min_voxels, unseeded) for limit in limits]
    segments = Segments.build(
        _segment_numbers(events, semantics, classes, skipped, count),
        count,
        ((semantics < UNKNOWN) | (semantics >= classes)).sum(),
        embeddings,
        margins,
        seediness,
        [clusterer.seed_threshold for clusterer in clusterers] * event_count,
        unseeded == "instance",
    )
    lacking = any(size and limits[number % classes] is None for number, size in enumerate(segments.sizes))
    if segments.faults or lacking:
        for event in range(event_count):
            chosen = (values[events == event] for values in (semantics, embeddings, margins, seediness))
            classes_of, points, widths, seeding = (values.cpu().numpy() for values in chosen)
            cluster_event(classes_of, points, widths, seeding, thresholds, scheme, skip_classes)  # raises the error
    seeds = find_seeds(segments, [_highest_score(clusterer) for clusterer in clusterers] * event_count)
    fragments = torch.full_like(events, NOISE, dtype=torch.int32)
    return fragments.index_put_((segments.rows,), _numbers(segments, seeds, classes, min_voxels))


def _segment_numbers(events: Tensor, semantics: Tensor, classes: int, skipped: Collection[int], count: int) -> Tensor:
    """Return (N,) int64 segment of each voxel, event after event and class after class; ``count`` for none."""
    without = semantics <= UNKNOWN
    for number in skipped:
        without |= semantics == number
    return torch.where(without | (semantics >= classes), count, events.long() * classes + semantics)


def _highest_score(clusterer: GreedyClusterer) -> float:
    """Return ``-ln p0``."""
    return -math.log(clusterer.probability_threshold) if clusterer.probability_threshold > 0 else math.inf


def _numbers(segments: Segments, seeds: Seeds, classes: int, min_voxels: int) -> Tensor:
    """Return (n,) int32 fragment number of each voxel of ``segments``, counted within its event."""
    device = segments.rows.device
    label = assign(segments, seeds)
    first = starts_of(seeds.counts)
    instance = upload(torch.tensor(first, dtype=torch.int64), device)[segments.number] + label
    kept = torch.ones(sum(seeds.counts) + 1, dtype=torch.int64, device=device)
    if min_voxels > 1:
        present = torch.where(label == NOISE, len(kept) - 1, instance)
        kept = torch.zeros_like(kept).index_add_(0, present, torch.ones_like(present)).ge(min_voxels).long()
    before = kept.cumsum(0) - kept
    event_start = torch.tensor(first[::classes], dtype=torch.int64).repeat_interleave(classes)
    event_first = upload(event_start, device)[segments.number]
    number = before[instance.clamp(min=0)] - before[event_first]
    noise = (label == NOISE) | (kept[instance.clamp(min=0)] == 0)
    return torch.where(noise, NOISE, number).int()
