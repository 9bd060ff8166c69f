"""Tables of an event display: classes and instances in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np

from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS, event_rows
from mlreco.post_processing.evaluation.summary import ALL
from mlreco.post_processing.predicted import predicted_classes, predicted_instances
from mlreco.semantics import UNKNOWN
from mlreco.visualization.colours import class_colours, matched_instances
from mlreco.visualization.event_scales import Products
from mlreco.visualization.page import colour_chip, html_table

_NOTHING = "&ndash;"
_SCORES = {"purity": "purity", "efficiency": "efficiency", "ari": "ARI"}


@dataclass(frozen=True)
class InstanceSums:
    """Instances of one event, in ascending order of their numbers.

    Attributes:
        numbers: (K,) instance numbers.
        voxels: (K,) number of voxels.
        energies: (K,) summed energy, MeV; zeros where energies are not known.
        classes: (K,) most frequent semantic class (the lower at a tie), -1 where unknown.
    """

    numbers: np.ndarray
    voxels: np.ndarray
    energies: np.ndarray
    classes: np.ndarray


def instance_sums(labels: np.ndarray, semantics: np.ndarray | None, energies: np.ndarray | None) -> InstanceSums:
    """Sum up the voxels of every instance.

    Args:
        labels: (N,) instance numbers, -1 for none.
        semantics: (N,) classes, -1 for unknown; None where not known.
        energies: (N,) MeV; None where not known.
    """
    member = labels != UNKNOWN
    numbers, position = np.unique(labels[member], return_inverse=True)
    count = len(numbers)
    weights = np.zeros(len(position)) if energies is None else np.nan_to_num(energies[member].astype(float))
    classes = np.full(count, UNKNOWN)
    if semantics is not None and count:
        cells, votes = np.unique(np.stack([position, semantics[member]], axis=1), axis=0, return_counts=True)
        order = np.lexsort((-cells[:, 1], votes, cells[:, 0]))
        classes[cells[order, 0]] = cells[order, 1]
    return InstanceSums(
        numbers=numbers,
        voxels=np.bincount(position, minlength=count),
        energies=np.bincount(position, weights=weights, minlength=count),
        classes=classes,
    )


def class_tables(products: Products, classes: list[str]) -> str:
    """Return a table of voxels and instances by class and, where truth is known, one of the clustering's metrics.

    Args:
        products: name -> array of one event.
        classes: names of the semantic classes, by number.
    """
    kinds = {"true ": "semantics_true", "predicted ": predicted_classes(products)}
    kinds = {kind: product for kind, product in kinds.items() if product in products}
    if not kinds and "semantics" in products:
        kinds = {"": "semantics"}
    of_kind = {"true": true_sums(products), "predicted": predicted_sums(products)}
    instances = {kind: sums for kind, sums in of_kind.items() if sums is not None}
    header = ["class", *(f"{kind}voxels" for kind in kinds), *(f"{kind} instances" for kind in instances)]
    if len(header) == 1:
        return ""
    rows = []
    for number, name in enumerate(_class_cells(classes)):
        voxels = [f"{np.count_nonzero(products[product] == number):,}" for product in kinds.values()]
        rows.append([name, *voxels, *(str(np.count_nonzero(sums.classes == number)) for sums in instances.values())])
    return html_table(header, rows) + _score_table(clustering_scores(products, len(classes)), classes)


def clustering_scores(products: Products, n_classes: int) -> dict[int, dict[str, float]]:
    """Return the metrics of the fragments of one event by class number; empty where the truth is not known.

    Args:
        products: name -> array of one event.
        n_classes: number of semantic classes.
    """
    needed = ("semantics_true", "instances_true", predicted_instances(products))
    if any(name not in products for name in needed):
        return {}
    semantics, instances, fragments = (products[name] for name in needed)
    rows = event_rows(semantics, instances, fragments, n_classes, MIN_VOXELS)
    return {int(row["class"]): row for row in rows}


def _score_table(scores: dict[int, dict[str, float]], classes: list[str]) -> str:
    if not scores:
        return ""
    rows = [
        [name, *(f"{scores[number][metric]:.3f}" if number in scores else _NOTHING for metric in _SCORES)]
        for number, name in [*enumerate(_class_cells(classes)), (ALL, "all")]
    ]
    notes = [f"Scores: voxels by true class, true instances of {MIN_VOXELS} voxels and more; counts: of any size."]
    if any(_alone(row) for row in scores.values()):
        notes.append("ARI 0: one instance on one side and several on the other, whatever they share.")
    return html_table(["class", *_SCORES.values()], rows) + f"<p>{' '.join(notes)}</p>"


def _alone(row: dict[str, float]) -> bool:
    """Whether one instance stands against several, in truth or prediction."""
    few, many = sorted((row["true_instances"], row["pred_instances"]))
    return few == 1 < many


def _class_cells(classes: list[str]) -> list[str]:
    return [colour_chip(colour) + escape(name) for name, colour in class_colours(classes).items()]


def counterparts(products: Products, column: str) -> dict[int, tuple[int, int]]:
    """Return for every instance the one on the other side with most shared voxels, and their number."""
    predicted_name = predicted_instances(products)
    if "instances_true" not in products or predicted_name not in products:
        return {}
    true, predicted = products["instances_true"], products[predicted_name]
    return matched_instances(predicted, true) if column == "instance_predicted" else matched_instances(true, predicted)


def true_sums(products: Products) -> InstanceSums | None:
    """Return the sums over the true instances; None where they are not known."""
    if "instances_true" not in products:
        return None
    return instance_sums(products["instances_true"], products.get("semantics_true"), products.get("energies"))


def predicted_sums(products: Products) -> InstanceSums | None:
    """Return the sums over the predicted instances; None where there are none."""
    if predicted_instances(products) not in products:
        return None
    return instance_sums(products[predicted_instances(products)], products.get("semantics"), products.get("energies"))
