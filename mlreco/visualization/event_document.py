"""What an event display shows, as one JSON-ready description: every voxel once, and the scenes that draw it."""

from __future__ import annotations

import math

import numpy as np

from mlreco.post_processing.predicted import predicted_classes, predicted_instances
from mlreco.semantics import UNKNOWN
from mlreco.visualization.colours import NO_INSTANCE_COLOUR, class_colours, matched_colours
from mlreco.visualization.encoding import encode_floats, encode_integers, encode_quantised
from mlreco.visualization.event_scales import (
    Products,
    embedding_space,
    energy_scale,
    image_geometry,
    image_space,
    marker_style,
)
from mlreco.visualization.event_summary import InstanceSums, counterparts, predicted_sums, true_sums

_SCENES = (
    ("energy", "image", "Deposited energy"),
    ("class_true", "image", "True semantic classes"),
    ("class_predicted", "image", "Predicted semantic classes"),
    ("class_used", "image", "Semantic classes"),
    ("instance_true", "image", "True instances"),
    ("instance_true", "embedding", "Embedding: true"),
    ("instance_predicted", "image", "Predicted instances"),
    ("instance_predicted", "embedding", "Embedding: predicted"),
)


def describe_event(products: Products, classes: list[str]) -> dict:
    """Describe the scenes of one event for the page's script.

    Args:
        products: of an event with at least one voxel; all but ``coordinates`` may be missing.
        classes: names of the semantic classes, by number.

    Returns:
        ``voxels``: encoded columns, one value a voxel (instances as positions in ``instances``, -1 for none);
        ``classes`` and ``instances``: names or numbers with their colours; ``scenes``: title, space and column that
        gives the colour; ``spaces``: axis titles and ranges; ``image``: from voxel numbers to positions;
        ``energy_scale``; ``marker``: size in pixels and symbol.
    """
    coordinates = products["coordinates"]
    voxels = {axis: encode_integers(coordinates[:, i]) for i, axis in enumerate("xyz")}
    spaces = {"image": image_space(products)}
    if "energies" in products:
        voxels["energy"] = encode_floats(products["energies"])
    for column, product in _class_columns(products).items():
        voxels[column] = encode_integers(products[product])
    instances = _instances(products, classes)
    for column, product in (("instance_true", "instances_true"), ("instance_predicted", predicted_instances(products))):
        if column in instances:
            position = {entry["number"]: i for i, entry in enumerate(instances[column])}
            voxels[column] = encode_integers(_positions(products[product], position))
    if "embeddings" in products:
        spaces["embedding"] = embedding_space(products["embeddings"])
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
        "scenes": [
            {"key": f"{colour}-{space}", "colour": colour, "space": space, "title": title}
            for colour, space, title in drawn
        ],
        "spaces": spaces,
        "image": image_geometry(products),
        "energy_scale": energy_scale(products.get("energies", np.empty(0))),
        "marker": marker_style(len(coordinates)),
    }


def _class_columns(products: Products) -> dict[str, str]:
    """Return page column -> product; the classes that were clustered stand in where neither other one is known."""
    found = {"class_true": "semantics_true", "class_predicted": predicted_classes(products)}
    found = {column: product for column, product in found.items() if product in products}
    if not found and "semantics" in products:
        return {"class_used": "semantics"}
    return found


def finite(value: float, digits: int) -> float | None:
    """Return a rounded number, None where it is none: JSON knows no other."""
    return round(value, digits) if math.isfinite(value) else None


def _instances(products: Products, classes: list[str]) -> dict[str, list[dict]]:
    """Return the true and the predicted instances, each in ascending order of the number.

    Returns:
        Column -> for each instance ``number``, ``colour``, ``class`` (name), ``voxels``, ``energy`` (MeV), ``other``
        (the instance of the other side with which it shares most voxels, None without) and ``shared`` (voxels).
    """
    true, predicted = products.get("instances_true"), products.get(predicted_instances(products))
    none = np.full(len(products["coordinates"]), UNKNOWN)
    true_colours, predicted_colours = matched_colours(true, none if predicted is None else predicted)
    columns = {
        "instance_true": (true_sums(products), true_colours),
        "instance_predicted": (predicted_sums(products), predicted_colours),
    }
    found = {}
    for column, (sums, colours) in columns.items():
        if sums is not None:
            matched = counterparts(products, column)
            found[column] = [_instance(sums, i, colours, matched, classes) for i in range(len(colours))]
    return found


def _instance(
    sums: InstanceSums, i: int, colours: dict[int, str], matched: dict[int, tuple[int, int]], classes: list[str]
) -> dict:
    number, semantic = int(sums.numbers[i]), int(sums.classes[i])
    other, shared = matched.get(number, (None, 0))
    return {
        "number": number,
        "colour": colours[number],
        "class": classes[semantic] if 0 <= semantic < len(classes) else "unknown",
        "voxels": int(sums.voxels[i]),
        "energy": finite(float(sums.energies[i]), 3),
        "other": other,
        "shared": shared,
    }


def _positions(labels: np.ndarray, position: dict[int, int]) -> np.ndarray:
    numbers, inverse = np.unique(labels, return_inverse=True)
    return np.array([position.get(number, UNKNOWN) for number in numbers.tolist()], dtype=np.int64)[inverse]
