"""Tables of an event display: classes and instances in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np

from mlreco.post_processing.evaluation import MIN_VOXELS, event_rows
from mlreco.post_processing.predicted import predicted_classes, predicted_instances
from mlreco.post_processing.summary import ALL
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
    instances = {"true": _true_sums(products), "predicted": _predicted_sums(products)}
    instances = {kind: sums for kind, sums in instances.items() if sums}
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
    rows = event_rows(*(products[name] for name in needed), n_classes, MIN_VOXELS)
    return {row["class"]: row for row in rows}


def _score_table(scores: dict[int, dict[str, float]], classes: list[str]) -> str:
    if not scores:
        return ""
    rows = [
        [name, *(f"{scores[number][metric]:.3f}" if number in scores else _NOTHING for metric in _SCORES)]
        for number, name in [*enumerate(_class_cells(classes)), (ALL, "all")]
    ]
    note = f"Voxels by true class; true instances of {MIN_VOXELS} voxels and more."
    return html_table(["class", *_SCORES.values()], rows) + f"<p>{note}</p>"


def _class_cells(classes: list[str]) -> list[str]:
    return [colour_chip(colour) + escape(name) for name, colour in class_colours(classes).items()]


def instance_tables(products: Products, classes: list[str], instances: dict[str, list[dict]]) -> str:
    """Return the tables of true and predicted instances, the largest first, folded away.

    Args:
        products: name -> array of one event.
        classes: names of the semantic classes, by number.
        instances: number and colour of every instance, as `describe_event` gives them.
    """
    tables = []
    for title, column, sums in (
        ("True instances", "instance_true", _true_sums(products)),
        ("Predicted instances", "instance_predicted", _predicted_sums(products)),
    ):
        if sums is not None:
            colours = {entry["number"]: entry["colour"] for entry in instances[column]}
            rows = _instance_rows(sums, classes, colours, _counterparts(products, column))
            header = ["instance", "class", "voxels", "energy [MeV]", "largest overlap with", "shared voxels"]
            tables.append(f'<div class="scroll"><h3>{title}</h3>{html_table(header, rows)}</div>')
    return f"<details><summary>Instances in numbers</summary>{''.join(tables)}</details>" if tables else ""


def _instance_rows(
    sums: InstanceSums, classes: list[str], colours: dict[int, str], counterparts: dict[int, tuple[int, int]]
) -> list[list[str]]:
    rows = []
    for i in np.lexsort((sums.numbers, -sums.voxels)).tolist():
        number, semantic = int(sums.numbers[i]), int(sums.classes[i])
        other, shared = counterparts.get(number, (None, 0))
        rows.append(
            [
                colour_chip(colours[number]) + str(number),
                escape(classes[semantic]) if 0 <= semantic < len(classes) else "unknown",
                f"{sums.voxels[i]:,}",
                f"{sums.energies[i]:.2f}",
                _NOTHING if other is None else str(other),
                f"{shared:,} ({shared / sums.voxels[i]:.0%})" if shared else _NOTHING,
            ]
        )
    return rows


def _counterparts(products: Products, column: str) -> dict[int, tuple[int, int]]:
    """Return for every instance the one on the other side with most shared voxels, and their number."""
    predicted_name = predicted_instances(products)
    if "instances_true" not in products or predicted_name not in products:
        return {}
    true, predicted = products["instances_true"], products[predicted_name]
    return matched_instances(predicted, true) if column == "instance_predicted" else matched_instances(true, predicted)


def _true_sums(products: Products) -> InstanceSums | None:
    if "instances_true" not in products:
        return None
    return instance_sums(products["instances_true"], products.get("semantics_true"), products.get("energies"))


def _predicted_sums(products: Products) -> InstanceSums | None:
    if predicted_instances(products) not in products:
        return None
    return instance_sums(products[predicted_instances(products)], products.get("semantics"), products.get("energies"))
