"""Ranges of axes and colours of an event display, and the size of its markers."""

from __future__ import annotations

import math

import numpy as np

Products = dict[str, np.ndarray]
"""Name -> array of one event, as `mlreco.iotools.HDF5Reader` gives them."""

_MIN_EXTENT_VOXELS = 16
_MIN_EXTENT_FRACTION = 0.25
_MAX_DISCS = 20_000
_ENERGY_PERCENTILES = (0.5, 99.8)


def marker_style(voxels: int) -> dict:
    """Return size in pixels and shape of a voxel's marker: smaller where voxels are many.

    Squares are two triangles each where discs are dozens; beyond `_MAX_DISCS` that halves the time until a page stands,
    and at their size nobody sees the difference.
    """
    size = float(np.clip(5.6 - 0.9 * math.log10(max(voxels, 1)), 1.2, 5.0))
    return {"size": round(size, 1), "symbol": "circle" if voxels <= _MAX_DISCS else "square"}


def image_geometry(products: Products) -> dict[str, list[float]]:
    """Return ``origin`` and ``voxel_size`` in cm, x y z; voxels of size 1 at 0 where the file does not say."""
    return {
        "origin": np.ravel(products.get("image_origin", np.zeros(3))).astype(float).tolist(),
        "voxel_size": np.ravel(products.get("voxel_size", np.ones(3))).astype(float).tolist(),
    }


def image_space(products: Products) -> dict:
    """Return titles and ranges of the axes of all image scenes: the voxels' box, never too flat to look at.

    Args:
        products: of an event with at least one voxel.
    """
    coordinates = products["coordinates"].astype(float)
    unit = "cm" if "voxel_size" in products else "voxels"
    low, high = _widen(coordinates.min(axis=0), coordinates.max(axis=0) + 1, _MIN_EXTENT_VOXELS)
    origin, size = (np.array(values) for values in image_geometry(products).values())
    ranges = np.stack([origin + low * size, origin + high * size], axis=1)
    return {"titles": [f"{axis} [{unit}]" for axis in "xyz"], "unit": unit, "ranges": ranges.round(4).tolist()}


def embedding_space(embeddings: np.ndarray) -> dict:
    """Return titles and ranges of the axes of the embedding scenes: the box of the first three finite dimensions.

    Args:
        embeddings: (N, D), D at least 3.
    """
    shown = embeddings[:, :3]
    finite = shown[np.isfinite(shown).all(axis=1)].astype(float)
    low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (-np.ones(3), np.ones(3))
    margin = 0.03 * (high - low)
    low, high = _widen(low - margin, high + margin, 0.05)
    return {"titles": ["e1", "e2", "e3"], "unit": "", "ranges": np.stack([low, high], axis=1).round(4).tolist()}


def _widen(low: np.ndarray, high: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Widen the edges of a box about its centre to at least a fraction of the longest one."""
    extent = high - low
    wanted = np.maximum(extent, max(_MIN_EXTENT_FRACTION * extent.max(), least))
    centre = (low + high) / 2
    return centre - wanted / 2, centre + wanted / 2


def energy_scale(energies: np.ndarray) -> dict:
    """Return the limits of the logarithmic colour scale (log10 of MeV), with ticks at 1, 2 and 5 of each decade."""
    positive = energies[np.isfinite(energies) & (energies > 0)].astype(float)
    if not len(positive):
        return {"low": -1.0, "high": 1.0, "ticks": [-1.0, 0.0, 1.0], "labels": ["0.1", "1", "10"]}
    low, high = np.log10(np.percentile(positive, _ENERGY_PERCENTILES)).tolist()
    if high - low < 0.1:
        low, high = low - 0.05, high + 0.05
    decades = range(math.floor(low), math.ceil(high) + 1)
    marks = [digit * 10.0**decade for decade in decades for digit in ((1, 2, 5) if high - low < 2.5 else (1,))]
    marks = [mark for mark in marks if low <= math.log10(mark) <= high]
    return {
        "low": round(low, 4),
        "high": round(high, 4),
        "ticks": [round(math.log10(mark), 6) for mark in marks],
        "labels": [f"{mark:g}" for mark in marks],
    }
