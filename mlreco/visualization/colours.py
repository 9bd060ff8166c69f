"""Colours of instances: far apart from each other, and the same for a true instance and its prediction."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mlreco.post_processing.contingency import contingency
from mlreco.semantics import UNKNOWN

NO_INSTANCE_COLOUR = "#bdbdbd"
"""Colour of a voxel that belongs to no instance or to no known class."""

CLASS_COLOURS = {
    "HIP": "#d62728",
    "MIP": "#1f6fd0",
    "Track": "#1f6fd0",
    "Shower": "#e8960c",
    "Delta": "#8a3ab9",
    "Michel": "#12a06a",
    "LowE": "#6d4c41",
}
"""Colours of the semantic classes of both numbering schemes."""

MAX_COLOURS = 768
"""Number of different colours; beyond it they are used again."""

_GRID_STEPS = 22
_LIGHTNESS_RANGE = (0.42, 0.80)
_MIN_CHROMA = 0.075
_FIRST_COLOUR = "#1f6fd0"


def _oklab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB colours to the perceptual OKLab space.

    The matrices are those of Ottosson (2020), "A perceptual color space for image processing".

    Args:
        rgb: (N, 3) float, between 0 and 1.

    Returns:
        (N, 3) float64: lightness, green-red, blue-yellow.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )


def _rgb(colour: str) -> list[float]:
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]


@lru_cache(maxsize=1)
def _palette() -> tuple[str, ...]:
    """Return the colours in the order in which they are given out: each the farthest from all before it."""
    levels = np.linspace(0, 1, _GRID_STEPS)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    rgb = np.concatenate([np.array([_rgb(_FIRST_COLOUR)]), rgb])
    lab = _oklab(rgb)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    lightness_low, lightness_high = _LIGHTNESS_RANGE
    usable = (lab[:, 0] > lightness_low) & (lab[:, 0] < lightness_high) & (chroma > _MIN_CHROMA)
    rgb, lab = rgb[usable], lab[usable]
    distance = np.linalg.norm(lab - _oklab(np.array([_rgb(NO_INSTANCE_COLOUR)])), axis=1)
    colours = []
    chosen = 0
    for _ in range(MAX_COLOURS):
        red, green, blue = np.rint(rgb[chosen] * 255).astype(int)
        colours.append(f"#{red:02x}{green:02x}{blue:02x}")
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen], axis=1))
        chosen = int(distance.argmax())
    return tuple(colours)


def distinct_colours(count: int) -> list[str]:
    """Return colours that a person can tell apart, on white and from the grey of voxels without an instance.

    Colours are chosen one after another, each the farthest in OKLab from all before it, so the first are the most
    different ones and the list for a smaller ``count`` is the beginning of the list for a larger one.

    Args:
        count: how many; they repeat after `MAX_COLOURS`.
    """
    palette = _palette()
    return [palette[i % len(palette)] for i in range(count)]


def matched_colours(true_instances: np.ndarray | None, predicted_instances: np.ndarray) -> tuple[dict, dict]:
    """Give every instance a colour, the same to a true instance and the predicted one that stands for it.

    A predicted instance takes the colour of the true instance with which it shares most voxels (the lower number
    at a tie). Where several predicted instances point to one true instance, the one with most shared voxels takes
    the colour and the others get colours of their own. Larger instances are served first.

    Args:
        true_instances: (N,) integers, -1 for none; None where there is no truth.
        predicted_instances: (N,) integers, -1 for none.

    Returns:
        Colour by instance number, of the true and of the predicted instances.
    """
    predicted = _largest_first(predicted_instances)
    if true_instances is None:
        return {}, dict(zip(predicted, distinct_colours(len(predicted)), strict=True))
    true = _largest_first(true_instances)
    match = _one_to_one(matched_instances(predicted_instances, true_instances))
    unmatched = [number for number in predicted if number not in match]
    colours = distinct_colours(len(true) + len(unmatched))
    true_colours = dict(zip(true, colours[: len(true)], strict=True))
    own_colours = dict(zip(unmatched, colours[len(true) :], strict=True))
    predicted_colours = {n: own_colours[n] if n in own_colours else true_colours[match[n]] for n in predicted}
    return true_colours, predicted_colours


def class_colours(classes: list[str]) -> dict[str, str]:
    """Return the colour of every class, in the order of their numbers; unknown names get colours of their own."""
    spare = iter(distinct_colours(len(classes)))
    return {name: CLASS_COLOURS.get(name) or next(spare) for name in classes}


def matched_instances(labels: np.ndarray, others: np.ndarray) -> dict[int, tuple[int, int]]:
    """Return for every instance the instance of another labelling that shares most voxels with it.

    Args:
        labels: (N,) instance numbers, -1 for none.
        others: (N,) instance numbers of the other labelling, -1 for none.

    Returns:
        Instance number -> (number in ``others``, shared voxels), the lower number at a tie; instances that
        share no voxel with any are left out.
    """
    both = (labels != UNKNOWN) & (others != UNKNOWN)
    table = contingency(labels[both], others[both])
    best: dict[int, tuple[int, int]] = {}
    for pair in np.lexsort((table.predicted_index, -table.counts, table.true_index)).tolist():
        other = table.predicted_labels[table.predicted_index[pair]]
        best.setdefault(int(table.true_labels[table.true_index[pair]]), (int(other), int(table.counts[pair])))
    return best


def _one_to_one(matches: dict[int, tuple[int, int]]) -> dict[int, int]:
    """Keep of all matches to the same instance the one that shares most voxels."""
    claimed: dict[int, int] = {}
    for number, (other, _) in sorted(matches.items(), key=lambda item: (-item[1][1], item[0])):
        claimed.setdefault(other, number)
    return {number: other for other, number in claimed.items()}


def _largest_first(instances: np.ndarray) -> list[int]:
    numbers, voxels = np.unique(instances[instances != UNKNOWN], return_counts=True)
    return numbers[np.lexsort((numbers, -voxels))].tolist()
