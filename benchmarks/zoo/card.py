"""The card of a chain as Markdown: what it was trained on and how, what it reaches, where it fails."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlreco.checkpoints.metadata import Metadata, read_metadata
from mlreco.recipes import read_recipe

METHODS = {
    "graph": "the chain: fragments put together by the graph network",
    "linked": "voxels linked in space and embedding",
    "paper": "the SPICE paper's network, loss and rule, at the budget above",
    "greedy": "the greedy rule of the SPICE paper on our embeddings",
    "dbscan": "DBSCAN on the voxels",
}

WHO = {
    "graph": "the chain",
    "linked": "linking",
    "paper": "the paper's network and rule",
    "greedy": "the greedy rule",
    "dbscan": "DBSCAN",
}
"""The methods in short."""


def card(numbers: Mapping[str, Any], checkpoints: Mapping[str, Path]) -> str:
    """Return the card.

    Args:
        numbers: what the chain reaches, by the classes in which was clustered and by method; under ``paper`` the lines
            on how the paper's method was trained, where that was measured, too.
        checkpoints: weights by stage.
    """
    today = datetime.datetime.now(datetime.timezone.utc).date()
    lines = [
        f"# The chain {numbers['chain']}",
        "",
        f"Written by `python -m benchmarks.zoo` on {today}. Numbers are of `{numbers['tested_on']}`, thresholds were "
        f"tuned on `{numbers['tuned_on']}`; the weights saw neither.",
        "",
        *_weights(checkpoints),
        *numbers.get("paper", []),
        *_segmentation(numbers["predicted"]["graph"]),
    ]
    for semantics in ("predicted", "true"):
        lines += _clustering(semantics, numbers[semantics])
    if "published" in numbers:
        lines += _published(numbers["published"])
    return "\n".join(lines) + "\n"


def _weights(checkpoints: Mapping[str, Path]) -> Iterator[str]:
    yield "## Weights"
    for stage, path in checkpoints.items():
        yield ""
        yield f"**{stage}** (`{path.name}`, {path.stat().st_size / 1e6:.1f} MB)"
        yield ""
        yield from _training(read_metadata(path))
    yield ""


def of_paper(path: Path) -> Iterator[str]:
    """Tell how the baseline was trained, which is not shipped.

    Args:
        path: its weights.
    """
    config = read_recipe(path).config
    network, loss = (config["model"]["modules"][name] for name in ("spice", "spice_loss"))
    metadata, batch = read_metadata(path), config["iotool"]["batch_size"]
    iterations = sum(run.last_iteration - run.first_iteration for run in metadata.history)
    yield (
        f"**The method of the SPICE paper**, for comparison (not shipped): {network['filters']} filters, depth "
        f"{network['depth']}, {loss['mask_loss']}. It saw {batch} x {iterations} = {batch * iterations} events, fewer "
        "than the chain, and the paper's own training was far longer: the row below says what this budget gives"
    )
    yield ""
    yield from _training(metadata)
    yield ""


def _training(metadata: Metadata) -> Iterator[str]:
    """Tell the runs that made the weights and the events of the last one."""
    for run in metadata.history:
        begun = f", from `{run.begun_from}`" if run.begun_from else ""
        begun += f", averaged with {run.averaged_with}" if run.averaged_with else ""
        yield (
            f"* iterations {run.first_iteration + 1} to {run.last_iteration} on {run.device}, {run.seconds / 60:.0f} "
            f"minutes, seed {run.seed}, begun {run.started[:10]}{begun}"
        )
    data = metadata.data
    if data is not None:
        files = ", ".join(f"`{Path(name).name}`" for name in data.files[:3]) + (
            " and others" if len(data.files) > 3 else ""
        )
        median = (
            f"; half of them have at most {data.voxels_per_event.at(0.5):.0f} voxels" if data.voxels_per_event else ""
        )
        yield f"* {data.events} events of {files}{median}"


def _segmentation(found: Mapping[str, Any]) -> Iterator[str]:
    network, corrected = found["segmentation"], found["corrected_classes"]
    yield "## Classes of voxels"
    yield ""
    yield (
        f"{corrected['accuracy']:.4f} of the voxels have the right class; {network['accuracy']:.4f} before the graph "
        "network corrects the classes of fragments."
    )
    yield ""
    yield "| class | precision | recall | IoU | precision before | recall before | IoU before |"
    yield "|---|---|---|---|---|---|---|"
    for name in network["classes"]:
        scores = [one["classes"][name][key] for one in (corrected, network) for key in ("precision", "recall", "iou")]
        yield f"| {name} | {' | '.join(f'{value:.3f}' for value in scores)} |"
    yield ""


def _clustering(semantics: str, methods: Mapping[str, Any]) -> Iterator[str]:
    classes = list(methods["graph"]["classes"])
    yield f"## Instances, clustered in {semantics} classes"
    yield ""
    yield (
        "Adjusted Rand index: mean over events of the voxels of a true class, true instances under 10 voxels left out, "
        "with the 68 % interval of the mean (bootstrap over events)."
    )
    yield ""
    yield f"| | {' | '.join(classes)} | all |"
    yield f"|---|{'---|' * (len(classes) + 1)}"
    for method, what in METHODS.items():
        if method not in methods:
            continue
        numbers = methods[method]
        cells = [_cell(numbers, name) for name in (*classes, "all")]
        yield f"| {what} | {' | '.join(cells)} |"
    for metric in ("purity", "efficiency"):
        cells = [f"{_summary(methods['graph'], name)[metric]:.3f}" for name in (*classes, "all")]
        yield f"| {metric} of the chain | {' | '.join(cells)} |"
    for method in METHODS:
        if "found" in methods.get(method, {}):
            yield f"| found by {WHO[method]} | {' | '.join(_found(methods[method]['found']['classes']))} |"
    yield ""
    yield (
        "Found: share of the true instances that a predicted one has more than half of the voxels in common with that "
        "either of both has; here the voxels of all classes count."
    )
    yield ""
    failures = ", ".join(f"{kind} in {count}" for kind, count in methods["graph"]["failures"].items())
    yield f"Failures of the chain, by event and class: {failures}."
    yield ""


def _found(classes: Mapping[str, Mapping[str, int]]) -> list[str]:
    counts = [*((one["found"], one["true"]) for one in classes.values())]
    counts.append((sum(found for found, _ in counts), sum(true for _, true in counts)))
    return [f"{found / true:.3f}" if true else "" for found, true in counts]


def _published(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## Published events"
    yield ""
    yield (
        f"Events of other simulations (`{found['file']}`), clustered in predicted classes. Adjusted Rand index of all "
        "voxels in true instances, or groups of instances, of 10 voxels and more. Where a publication lists the "
        "trajectories of a shower one by one, their group is what the chain calls an instance; in the simulated events "
        "it is the instance itself, and a group also holds what a particle radiated."
    )
    yield ""
    yield "| event | ARI of instances | ARI of groups |"
    yield "|---|---|---|"
    for name, indices in found["events"].items():
        yield f"| {name} | {indices['instances']:.3f} | {indices['groups']:.3f} |"
    simulated = list(found["simulated"].values())
    yield "| simulated events of this card, mean | " + " | ".join(f"{one['mean']:.3f}" for one in simulated) + " |"
    spreads = (f"{one['spread'][0]:.3f} to {one['spread'][1]:.3f}" for one in simulated)
    yield "| nine of ten of them | " + " | ".join(spreads) + " |"


def _summary(numbers: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return numbers["all"] if name == "all" else numbers["classes"][name]


def _cell(numbers: Mapping[str, Any], name: str) -> str:
    ari = _summary(numbers, name)["ari"]
    if ari is None:
        return "-"
    interval = numbers.get("intervals_68", {}).get(name, {}).get("ari")
    return f"{ari:.3f}" if interval is None else f"{ari:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
