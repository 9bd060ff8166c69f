"""What an event display shows, as one JSON-ready description: every voxel once, and the scenes that draw it."""

from __future__ import annotations

import math

import numpy as np

from mlreco.semantics import UNKNOWN
from mlreco.visualization.colours import NO_INSTANCE_COLOUR, class_colours, matched_colours
from mlreco.visualization.encoding import encode_floats, encode_integers, encode_quantised

Products = dict[str, np.ndarray]

_MIN_EXTENT_VOXELS = 16
_MIN_EXTENT_FRACTION = 0.25
_MAX_DISCS = 20_000
_ENERGY_PERCENTILES = (0.5, 99.8)

_SCENES = (
    ("energy", "image", "Deposited energy"),
    ("class_true", "image", "True semantic classes"),
    ("class_predicted", "image", "Predicted semantic classes"),
    ("class_used", "image", "Semantic classes"),
    ("instance_true", "image", "True instances"),
    ("instance_true", "embedding", "Embedding space, true instances"),
    ("instance_predicted", "image", "Predicted instances"),
    ("instance_predicted", "embedding", "Embedding space, predicted instances"),
)


def describe_event(products: Products, classes: list[str]) -> dict:
    """Describe the scenes of one event for the page's script.

    Args:
        products: name -> array of one event, as `mlreco.iotools.HDF5Reader` gives them; all but ``coordinates``
            may be missing.
        classes: names of the semantic classes, by number.

    Returns:
        ``voxels``: encoded columns, one value a voxel (instances as positions in ``instances``, -1 for none);
        ``classes`` and ``instances``: names or numbers with their colours; ``scenes``: title, space and column that
        gives the colour; ``spaces``: axis titles and ranges; ``image``: from voxel numbers to positions;
        ``energy_scale``; ``marker``: size in pixels and symbol.
    """
    coordinates = products["coordinates"]
    voxels = {axis: encode_integers(coordinates[:, i]) for i, axis in enumerate("xyz")}
    spaces = {"image": _image_space(products)}
    if "energies" in products:
        voxels["energy"] = encode_floats(products["energies"])
    for column, product in _class_columns(products).items():
        voxels[column] = encode_integers(products[product])
    instances = _instances(products)
    for column, product in (("instance_true", "instances_true"), ("instance_predicted", "fragments")):
        if column in instances:
            position = {entry["number"]: i for i, entry in enumerate(instances[column])}
            voxels[column] = encode_integers(_positions(products[product], position))
    if "embeddings" in products:
        spaces["embedding"] = _embedding_space(products["embeddings"])
        for i in range(3):
            voxels[f"e{i + 1}"] = encode_quantised(products["embeddings"][:, i])
    for column in ("margins", "seediness"):
        if column in products:
            voxels[column] = encode_quantised(products[column])
    drawn = [scene for scene in _SCENES if scene[0] in voxels and scene[1] in spaces]
    return {
        "count": len(coordinates),
        "voxels": voxels,
        "classes": [{"name": name, "colour": colour} for name, colour in class_colours(classes).items()],
        "instances": instances,
        "no_instance_colour": NO_INSTANCE_COLOUR,
        "scenes": [{"colour": colour, "space": space, "title": title} for colour, space, title in drawn],
        "spaces": spaces,
        "image": {"origin": _row(products, "image_origin", 0.0), "voxel_size": _row(products, "voxel_size", 1.0)},
        "energy_scale": _energy_scale(products.get("energies", np.empty(0))),
        "marker": marker_style(len(coordinates)),
    }


def marker_style(voxels: int) -> dict:
    """Return size in pixels and shape of a voxel's marker: smaller where voxels are many.

    Squares are two triangles each where discs are dozens; beyond `_MAX_DISCS` that halves the time until a page stands,
    and at their size nobody sees the difference.
    """
    size = float(np.clip(5.6 - 0.9 * math.log10(max(voxels, 1)), 1.2, 5.0))
    return {"size": round(size, 1), "symbol": "circle" if voxels <= _MAX_DISCS else "square"}


def _class_columns(products: Products) -> dict[str, str]:
    """Return page column -> product; the classes that were clustered stand in where neither other one is known."""
    found = {"class_true": "semantics_true", "class_predicted": "semantics_predicted"}
    found = {column: product for column, product in found.items() if product in products}
    if not found and "semantics" in products:
        return {"class_used": "semantics"}
    return found


def _instances(products: Products) -> dict[str, list[dict]]:
    """Return number and colour of the true and the predicted instances, each in ascending order of the number."""
    true, predicted = products.get("instances_true"), products.get("fragments")
    none = np.full(len(products["coordinates"]), UNKNOWN)
    true_colours, predicted_colours = matched_colours(true, none if predicted is None else predicted)
    columns = {"instance_true": (true, true_colours), "instance_predicted": (predicted, predicted_colours)}
    return {
        column: [{"number": number, "colour": colours[number]} for number in sorted(colours)]
        for column, (labels, colours) in columns.items()
        if labels is not None
    }


def _positions(labels: np.ndarray, position: dict[int, int]) -> np.ndarray:
    numbers, inverse = np.unique(labels, return_inverse=True)
    return np.array([position.get(number, UNKNOWN) for number in numbers.tolist()], dtype=np.int64)[inverse]


def _row(products: Products, name: str, default: float) -> list[float]:
    values = products.get(name)
    return (
        np.asarray(values, dtype=float).reshape(3).tolist() if values is not None and np.size(values) else 3 * [default]
    )


def _image_space(products: Products) -> dict:
    """Return titles and ranges of the axes of all image scenes: the voxels' box, never too flat to look at."""
    coordinates = products["coordinates"]
    unit = "cm" if "voxel_size" in products else "voxels"
    space = {"titles": [f"{axis} [{unit}]" for axis in "xyz"], "unit": unit}
    low, high = (
        (coordinates.min(axis=0), coordinates.max(axis=0) + 1) if len(coordinates) else (np.zeros(3), np.ones(3))
    )
    low, high = _widen(low.astype(float), high.astype(float), _MIN_EXTENT_VOXELS)
    origin, size = np.array(_row(products, "image_origin", 0.0)), np.array(_row(products, "voxel_size", 1.0))
    return {**space, "ranges": np.stack([origin + low * size, origin + high * size], axis=1).round(4).tolist()}


def _embedding_space(embeddings: np.ndarray) -> dict:
    finite = embeddings[np.isfinite(embeddings).all(axis=1)].astype(float)
    low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (-np.ones(3), np.ones(3))
    margin = 0.03 * (high - low)
    low, high = _widen(low - margin, high + margin, 0.05)
    return {"titles": ["e₁", "e₂", "e₃"], "unit": "", "ranges": np.stack([low, high], axis=1).round(4).tolist()}


def _widen(low: np.ndarray, high: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Widen the edges of a box about its centre to at least a fraction of the longest one."""
    extent = high - low
    wanted = np.maximum(extent, max(_MIN_EXTENT_FRACTION * extent.max(), least))
    centre = (low + high) / 2
    return centre - wanted / 2, centre + wanted / 2


def _energy_scale(energies: np.ndarray) -> dict:
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
