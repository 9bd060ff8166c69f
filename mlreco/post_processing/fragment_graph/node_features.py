"""What is told of each fragment: numbers that turning or mirroring the image does not change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlreco.post_processing.fragment_graph.blocks import FragmentVoxels
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
    "log_partners",
    "log_fragments",
    "border",
)
LEAST_ENERGY = 1e-3
"""MeV, added before a logarithm is taken."""
ALONE = 1024.0
"""Voxels to the nearest larger fragment of one that has none in reach."""


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
    values: Mapping[str, np.ndarray],
    classes: np.ndarray,
    image_shape: np.ndarray,
) -> np.ndarray:
    """Return (F, C) float32, columns as ``node_feature_names`` says.

    Args:
        voxels: the fragments.
        shapes: of the fragments.
        pairs: those in reach.
        values: ``energies``, ``margins``, ``seediness`` (N,), ``embeddings`` (N, D) and ``scores`` (N, classes) at each
            place.
        classes: (F,) class in which each fragment was made.
        image_shape: (3,) voxels of the image along its axes.
    """
    sizes, starts = voxels.sizes, voxels.starts[:-1]
    count, number_of_classes = len(sizes), values["scores"].shape[1]
    if not count:
        return np.zeros((0, len(GEOMETRY) + 3 * number_of_classes), np.float32)

    def sums(array: np.ndarray) -> np.ndarray:
        return np.add.reduceat(array, starts, axis=0, dtype=np.float64)

    def means(array: np.ndarray) -> np.ndarray:
        return sums(array) / (sizes if array.ndim == 1 else sizes[:, None])

    energy, mean_energy = sums(values["energies"]), means(values["energies"])
    energy_spread = np.sqrt(np.maximum(means(np.square(values["energies"])) - mean_energy**2, 0))
    embedding_spread = means(np.square(values["embeddings"])) - means(values["embeddings"]) ** 2
    length = np.linalg.norm(shapes.ends - shapes.beginnings, axis=1)
    largest = np.maximum(shapes.spreads[:, 0], 1e-9)
    scores = means(values["scores"])
    columns = {
        "log_voxels": np.log(sizes),
        "log_energy": np.log(energy + LEAST_ENERGY),
        "log_mean_energy": np.log(mean_energy + LEAST_ENERGY),
        "energy_spread": energy_spread / (mean_energy + LEAST_ENERGY),
        "log_length": np.log1p(length),
        **{f"log_spread_{k}": np.log1p(shapes.spreads[:, k]) for k in range(3)},
        "linearity": (shapes.spreads[:, 0] - shapes.spreads[:, 1]) / largest,
        "planarity": (shapes.spreads[:, 1] - shapes.spreads[:, 2]) / largest,
        "opening": shapes.opening,
        "log_charge_at_beginning": np.log(shapes.charges[:, 0] + LEAST_ENERGY),
        "log_charge_at_end": np.log(shapes.charges[:, 1] + LEAST_ENERGY),
        "log_margin": np.log(means(values["margins"]) + 1e-4),
        "seediness": means(values["seediness"]),
        "highest_seediness": np.maximum.reduceat(values["seediness"], starts),
        "log_embedding_spread": np.log(np.sqrt(np.maximum(embedding_spread.sum(axis=1), 0)) + 1e-3),
        "log_rank": np.log1p(_ranks(sizes)),
        "share_of_voxels": sizes / sizes.sum(),
        "share_of_energy": energy / max(energy.sum(), LEAST_ENERGY),
        "log_gap_to_larger": np.log1p(_gap_to_larger(pairs, count)),
        "log_partners": np.log1p(np.bincount(pairs.fragments.ravel(), minlength=count)),
        "log_fragments": np.full(count, np.log(count)),
        "border": _border(voxels, image_shape),
    }
    highest = np.maximum.reduceat(values["scores"], starts, axis=0)
    made_in = classes[:, None] == np.arange(number_of_classes)
    geometry = np.stack([columns[name] for name in GEOMETRY], axis=1)
    return np.hstack([geometry, scores, highest, made_in]).astype(np.float32)


def _ranks(sizes: np.ndarray) -> np.ndarray:
    """Return for each fragment how many have more voxels."""
    return len(sizes) - np.searchsorted(np.sort(sizes), sizes, side="right")


def _gap_to_larger(pairs: Pairs, count: int) -> np.ndarray:
    gaps = np.full(count, ALONE)
    np.minimum.at(gaps, pairs.fragments[:, 1], pairs.gaps)
    return gaps


def _border(voxels: FragmentVoxels, image_shape: np.ndarray) -> np.ndarray:
    """Return how near a fragment comes to the border of the image: exp(-distance / 10 voxels)."""
    inside = np.minimum(voxels.positions, np.asarray(image_shape) - 1 - voxels.positions).min(axis=1)
    return np.exp(-np.maximum(np.minimum.reduceat(inside, voxels.starts[:-1]), 0) / 10)
