"""Features of each fragment, which do not change when the image is rotated or mirrored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlreco.compiled import compiled
from mlreco.post_processing.fragment_graph.blocks import FragmentVoxels
from mlreco.post_processing.fragment_graph.contacts import ALONE, Contacts
from mlreco.post_processing.fragment_graph.pairs import Pairs
from mlreco.post_processing.fragment_graph.shapes import Shapes
from mlreco.semantics import ClassScheme

GEOMETRY = (
    "log_voxels",
    "log_energy",
    "log_mean_energy",
    "energy_spread",
    "log_length",
    "log_spread_0",
    "log_spread_1",
    "log_spread_2",
    "linearity",
    "planarity",
    "opening",
    "log_charge_at_beginning",
    "log_charge_at_end",
    "log_margin",
    "seediness",
    "highest_seediness",
    "log_embedding_spread",
    "log_rank",
    "share_of_voxels",
    "share_of_energy",
    "log_gap_to_larger",
    "log_gap_to_track",
    "log_touching_voxels",
    "beside_track",
    "log_partners",
    "log_fragments",
    "border",
)
_ROW = np.dtype([(name, np.float32) for name in GEOMETRY])
LEAST_ENERGY = 1e-3
"""MeV, added before a logarithm is taken."""
LEAST_MARGIN = 1e-4
LEAST_EMBEDDING_SPREAD = 1e-3
"""Added to a margin and to a spread in the embedding before a logarithm is taken."""
BORDER = 10.0
"""Voxels from the border of the image over which its nearness falls by a factor e."""


def node_feature_names(scheme: ClassScheme) -> tuple[str, ...]:
    """Return the names of the columns of ``node_features``."""
    return (
        *GEOMETRY,
        *(f"score_{name}" for name in scheme.classes),
        *(f"highest_score_{name}" for name in scheme.classes),
        *(f"made_in_{name}" for name in scheme.classes),
    )


def node_features(
    voxels: FragmentVoxels,
    shapes: Shapes,
    pairs: Pairs,
    contacts: Contacts,
    values: Mapping[str, np.ndarray],
    classes: np.ndarray,
    image_shape: np.ndarray,
) -> np.ndarray:
    """Return (F, C) float32, columns as ``node_feature_names`` says.

    Args:
        voxels: the fragments.
        shapes: of the fragments.
        pairs: those in reach.
        contacts: of the fragments with tracks.
        values: ``energies``, ``margins``, ``seediness`` (N,), ``embeddings`` (N, D) and ``scores`` (N, classes) at each
            place.
        classes: (F,) class in which each fragment was made.
        image_shape: (3,) voxels of the image along its axes.
    """
    sizes, count = voxels.sizes, len(voxels)
    rows = np.empty(count, _ROW)
    energies = np.empty(count)
    of_voxels = tuple(values[name] for name in ("energies", "margins", "seediness", "embeddings"))
    _write_values(rows, energies, voxels.starts, *of_voxels)
    _write_shapes(rows, *shapes[2:])
    _write_border(rows, voxels.starts, voxels.positions, np.asarray(image_shape, np.float64))
    rows["log_rank"] = np.log1p(_ranks(sizes))
    rows["share_of_voxels"] = sizes / max(sizes.sum(), 1)
    rows["share_of_energy"] = energies / max(energies.sum(), LEAST_ENERGY)
    rows["log_gap_to_larger"] = np.log1p(_gap_to_larger(pairs.fragments, pairs.gaps, count))
    rows["log_gap_to_track"] = np.log1p(contacts.gaps)
    rows["log_touching_voxels"] = np.log1p(contacts.touching)
    rows["beside_track"] = contacts.beside
    rows["log_partners"] = np.log1p(np.bincount(pairs.fragments.ravel(), minlength=count))
    rows["log_fragments"] = np.log(max(count, 1))
    geometry = rows.view(np.float32).reshape(count, len(GEOMETRY))
    return np.hstack([geometry, _of_classes(voxels.starts, values["scores"], classes)])


@compiled
def _write_values(
    rows: np.ndarray,
    total_energies: np.ndarray,
    starts: np.ndarray,
    energies: np.ndarray,
    margins: np.ndarray,
    seediness: np.ndarray,
    embeddings: np.ndarray,
) -> None:
    """Write the features from the values of a fragment's voxels, and the sums of their energies."""
    axes = embeddings.shape[1]
    mean, square = np.empty(axes), np.empty(axes)
    for f in range(len(rows)):
        out, first, last = rows[f], starts[f], starts[f + 1]
        size = last - first
        energy, squared, margin, seeds, highest = 0.0, 0.0, 0.0, 0.0, -np.inf
        mean[:], square[:] = 0.0, 0.0
        for place in range(first, last):
            energy += energies[place]
            squared += energies[place] * energies[place]
            margin += margins[place]
            seeds += seediness[place]
            highest = max(highest, seediness[place])
            for k in range(axes):
                value = np.float64(embeddings[place, k])
                mean[k] += value
                square[k] += value * value
        spread = 0.0
        for k in range(axes):
            spread += square[k] / size - (mean[k] / size) ** 2
        total_energies[f] = energy
        average = energy / size
        out.log_voxels = np.log(np.float64(size))
        out.log_energy = np.log(energy + LEAST_ENERGY)
        out.log_mean_energy = np.log(average + LEAST_ENERGY)
        out.energy_spread = np.sqrt(max(squared / size - average * average, 0.0)) / (average + LEAST_ENERGY)
        out.log_margin = np.log(margin / size + LEAST_MARGIN)
        out.seediness = seeds / size
        out.highest_seediness = highest
        out.log_embedding_spread = np.log(np.sqrt(max(spread, 0.0)) + LEAST_EMBEDDING_SPREAD)


@compiled
def _write_shapes(
    rows: np.ndarray,
    spreads: np.ndarray,
    beginnings: np.ndarray,
    ends: np.ndarray,
    opening: np.ndarray,
    charges: np.ndarray,
) -> None:
    """Write the features from the shape of a fragment."""
    for f in range(len(rows)):
        out = rows[f]
        squared = 0.0
        for k in range(3):
            squared += (ends[f, k] - beginnings[f, k]) ** 2
        largest = max(spreads[f, 0], 1e-9)
        out.log_length = np.log1p(np.sqrt(squared))
        out.log_spread_0, out.log_spread_1 = np.log1p(spreads[f, 0]), np.log1p(spreads[f, 1])
        out.log_spread_2 = np.log1p(spreads[f, 2])
        out.linearity = (spreads[f, 0] - spreads[f, 1]) / largest
        out.planarity = (spreads[f, 1] - spreads[f, 2]) / largest
        out.opening = opening[f]
        out.log_charge_at_beginning = np.log(charges[f, 0] + LEAST_ENERGY)
        out.log_charge_at_end = np.log(charges[f, 1] + LEAST_ENERGY)


@compiled
def _write_border(rows: np.ndarray, starts: np.ndarray, positions: np.ndarray, image_shape: np.ndarray) -> None:
    """Write how near a fragment comes to the border of the image."""
    for f in range(len(rows)):
        inside = np.inf
        for place in range(starts[f], starts[f + 1]):
            for k in range(3):
                inside = min(inside, positions[place, k], image_shape[k] - 1.0 - positions[place, k])
        rows[f].border = np.exp(-max(inside, 0.0) / BORDER)


@compiled
def _of_classes(starts: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return (F, 3 classes) float32: mean and highest scores, and a 1 for the class in which a fragment was made."""
    count, number = len(starts) - 1, scores.shape[1]
    table = np.zeros((count, 3 * number), np.float32)
    sums = np.empty(number)
    for f in range(count):
        sums[:] = 0.0
        for c in range(number):
            table[f, number + c] = scores[starts[f], c]
        for place in range(starts[f], starts[f + 1]):
            for c in range(number):
                sums[c] += scores[place, c]
                table[f, number + c] = max(table[f, number + c], scores[place, c])
        for c in range(number):
            table[f, c] = sums[c] / (starts[f + 1] - starts[f])
        table[f, 2 * number + classes[f]] = 1.0
    return table


def _ranks(sizes: np.ndarray) -> np.ndarray:
    """Return for each fragment how many have more voxels."""
    return len(sizes) - np.searchsorted(np.sort(sizes), sizes, side="right")


@compiled
def _gap_to_larger(fragments: np.ndarray, gaps: np.ndarray, count: int) -> np.ndarray:
    """Return for each fragment the distance of the nearest larger one in reach, ``ALONE`` without one."""
    nearest = np.full(count, ALONE)
    for pair in range(len(fragments)):
        smaller = fragments[pair, 1]
        nearest[smaller] = min(nearest[smaller], gaps[pair])
    return nearest
