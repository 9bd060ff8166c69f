"""Where fragments of electrons and photons touch a track: delta rays start on the track that made them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.approach import just_above, nearest_voxel
from mlreco.post_processing.fragment_graph.blocks import BLOCK, Boxes, FragmentVoxels, box_gap, whole_boxes
from mlreco.post_processing.fragment_graph.pairs import Pairs

TOUCHING = 1.0
"""Voxels beyond the gap between a fragment and its track up to which a voxel of the fragment touches the track."""
BESIDE = 3.0
"""Voxels beyond the gap up to which a voxel of the fragment lies beside the track."""
ALONE = 1024.0
"""Voxels that stand for the distance of what is not there."""


class Contacts(NamedTuple):
    """The nearest track of each fragment that radiates; tracks have none, nor have fragments without one in reach.

    Attributes:
        tracks: (F,) int64 number of the fragment of a track, of equally near ones the largest; -1 for none.
        gaps: (F,) float64 distance of the nearest voxels, ``ALONE`` without a track.
        centres: (F, 3) float64 mean position of the fragment's voxels that touch the track.
        touching: (F,) float64 how many they are, 0 without a track.
        beside: (F,) float64 share of the fragment's voxels that lie beside the track, 0 without one.
    """

    tracks: np.ndarray
    gaps: np.ndarray
    centres: np.ndarray
    touching: np.ndarray
    beside: np.ndarray


def track_contacts(voxels: FragmentVoxels, pairs: Pairs, radiating: np.ndarray) -> Contacts:
    """Find where fragments touch tracks.

    Args:
        voxels: the fragments.
        pairs: those in reach, among which tracks are looked for.
        radiating: (F,) bool, whether a fragment is of a class that radiates; the others are tracks.
    """
    tracks, gaps = _nearest_tracks(pairs.fragments, pairs.gaps, voxels.sizes, radiating)
    whole = whole_boxes(voxels.boxes.first_super, voxels.boxes.super_lows, voxels.boxes.super_highs)
    return Contacts(tracks, gaps, *_touching(voxels.positions, voxels.starts, voxels.boxes, whole, tracks, gaps))


@compiled
def _nearest_tracks(
    fragments: np.ndarray, gaps: np.ndarray, sizes: np.ndarray, radiating: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    tracks, nearest = np.full(len(sizes), -1, np.int64), np.full(len(sizes), ALONE)
    for pair in range(len(fragments)):
        larger, smaller = fragments[pair]
        if radiating[larger] == radiating[smaller]:
            continue
        one, track = (larger, smaller) if radiating[larger] else (smaller, larger)
        nearer = gaps[pair] < nearest[one]
        if nearer or (gaps[pair] == nearest[one] and sizes[track] > sizes[tracks[one]]):
            tracks[one], nearest[one] = track, gaps[pair]
    return tracks, nearest


@compiled
def _touching(
    positions: np.ndarray, starts: np.ndarray, boxes: Boxes, whole: tuple, tracks: np.ndarray, gaps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres, numbers of touching voxels and shares of voxels beside the track."""
    first_block, lows, highs = boxes.first_block, boxes.lows, boxes.highs
    track_lows, track_highs = whole
    count = len(tracks)
    centres, touching, beside = np.zeros((count, 3)), np.zeros(count), np.zeros(count)
    for f in range(count):
        track = tracks[f]
        if track < 0:
            continue
        close, limit = just_above((gaps[f] + TOUCHING) ** 2), just_above((gaps[f] + BESIDE) ** 2)
        for block in range(first_block[f], first_block[f + 1]):
            if box_gap(lows, highs, block, track_lows, track_highs, track) > limit:
                continue
            begin = starts[f] + (block - first_block[f]) * BLOCK
            for place in range(begin, min(begin + BLOCK, starts[f + 1])):
                found, squared = nearest_voxel(positions, starts, boxes, track, place, limit, -1)
                if found < 0:
                    continue
                beside[f] += 1.0
                if squared < close:
                    touching[f] += 1.0
                    for k in range(3):
                        centres[f, k] += positions[place, k]
        for k in range(3):
            centres[f, k] /= touching[f]
        beside[f] /= starts[f + 1] - starts[f]
    return centres, touching, beside
