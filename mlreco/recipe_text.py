"""A description of a configuration in a few lines: its stages, their weights, the post-processing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlreco.config import load_config
from mlreco.models.blocks import ModelSection
from mlreco.shipped import description


def recipe_lines(path: Path, title: str | None = None) -> tuple[list[str], list[Path]]:
    """Describe a configuration file.

    Args:
        path: the file.
        title: name of the configuration; its path by default.

    Returns:
        The lines, and the checkpoints that it names.

    Raises:
        UserError: a mistake in the configuration.
    """
    config = load_config(path)
    model = ModelSection.read(config["model"])
    whole = config["trainval"].get("model_path")
    lines = [f"{title or path}: configuration{f', {path}' if title else ''}"]
    if told := description(path):
        lines.append(f"  {told}")
    lines.append(f"  classes: {model.scheme.name} ({', '.join(model.scheme.classes)})")
    for block in model.blocks:
        of = f" ({block.stage})" if block.stage != block.name else ""
        weights = block.model_path or whole
        lines.append(f"  stage {block.name}{of}{f', weights {weights}' if weights else ''}")
    for name, arguments in config["post_processing"].items():
        lines.append(f"  then {name}{_thresholds((arguments or {}).get('thresholds'))}")
    named = [block.model_path for block in model.blocks] + [whole]
    return lines, [Path(one) for one in dict.fromkeys(named) if one]


def _thresholds(given: Mapping[str, Any] | str | None) -> str:
    """Tell the files of the thresholds of a post-processor; nothing where there are none."""
    if isinstance(given, Mapping):
        given = ", ".join(f"{name}: {file}" for name, file in given.items() if isinstance(file, str))
    return f", thresholds {given}" if given else ""
