"""The metadata of a checkpoint as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlreco.checkpoints.file import read_checkpoint
from mlreco.checkpoints.metadata import DataFingerprint, Metadata, Quantiles, Run, metadata_of


def checkpoint_lines(path: str | Path) -> list[str]:
    """Return the lines that describe a checkpoint.

    Raises:
        UserError: the file is missing, damaged or no checkpoint.
    """
    content = read_checkpoint(path)
    metadata = metadata_of(content, path)
    state = content["state_dict"]
    numbers = sum(tensor.numel() for tensor in state.values())
    kind = "training state" if "optimizer" in content else "weights"
    size = f"{numbers:,} numbers in {len(state)} tensors, {Path(path).stat().st_size / 1e6:.1f} MB"
    lines = [f"{path}: checkpoint, {kind}, {size}"]
    stages = dict.fromkeys(name.split(".")[1] for name in state if name.startswith("stages."))
    lines.append(f"  stages: {', '.join(stages) or 'not told'}")
    return [*lines, *(f"  {text}" for text in _told(metadata))]


def _told(metadata: Metadata) -> Iterator[str]:
    if metadata.class_scheme:
        yield f"classes: {metadata.class_scheme} ({', '.join(metadata.classes)})"
    if metadata.versions:
        yield f"versions: {', '.join(f'{name} {version}' for name, version in metadata.versions.items())}"
    yield f"configuration: {f'{len(metadata.config.splitlines())} lines' if metadata.config else 'not told'}"
    yield from _data_lines(metadata.data)
    for run in metadata.history:
        yield _run_line(run)
    if metadata.numbers:
        yield f"last numbers: {', '.join(f'{name} {value:.4g}' for name, value in metadata.numbers.items())}"


def _data_lines(data: DataFingerprint | None) -> Iterator[str]:
    if data is None:
        yield "training events: not told"
        return
    yield f"training events: {data.count}, sha256 {data.digest[:12]}"
    if data.voxel_size is not None:
        yield f"  voxels of {' x '.join(f'{edge:g}' for edge in data.voxel_size)} cm"
    if data.image_shapes:
        yield f"  images of {', '.join(' x '.join(map(str, shape)) for shape in data.image_shapes)} voxels"
    for name, found in (("voxels an event", data.voxels_per_event), ("MeV a voxel", data.energy_per_voxel)):
        if found is not None:
            yield f"  {name}: {_spread(found)}"


def _spread(found: Quantiles) -> str:
    return f"median {found.at(0.5):,.4g}, 98 % from {found.at(0.01):,.4g} to {found.at(0.99):,.4g}"


def _run_line(run: Run) -> str:
    begun = f", begun from {run.begun_from}" if run.begun_from else ""
    span = f"iterations {run.first_iteration:,} to {run.last_iteration:,}"
    return f"run: {run.started}, {span}, {run.seconds:,.0f} s on {run.device}, seed {run.seed}{begun}"
