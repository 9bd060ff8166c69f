"""Loads a file with overrides to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from mlreco.config.check import check_sections
from mlreco.config.checked import Config
from mlreco.config.field import translate
from mlreco.config.merge import Tree, parse_tree, read_tree
from mlreco.config.names import PostProcessor, StageClasses, check_names
from mlreco.config.paths import resolve_paths, use_full_paths
from mlreco.config.sections.iotool import SIMULATED
from mlreco.config.sections.trainval import IGNORED
from mlreco.frozen import thaw


def load_config(
    path: str | Path,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
    *,
    sources: Sequence[str | Path] = (),
    stage_classes: StageClasses | None = None,
    post_processor: PostProcessor | None = None,
) -> Config:
    """Read, merge and check a configuration file.

    Args:
        path: the YAML file.
        overrides: texts ``section.key=value``, applied in order after includes.
        base: values that the file is laid over.
        sources: files of events to read instead of those that the configuration names.
        stage_classes: name of a stage -> its class and the class of its loss; `mlreco.models.factories` by default.
        post_processor: name of a post-processor -> its class or function; `mlreco.post_processing.factories` by
            default.

    Returns:
        The configuration with defaults filled in, immutable.

    Raises:
        UserError: anything that is wrong with it, as one line.
    """
    path = Path(path)
    tree = Tree(thaw(base or {}), source=str(path))
    tree.overlay(read_tree(path))
    return _finish(_changed(tree, overrides, sources), path, stage_classes, post_processor)


def parse_config(
    text: str,
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    sources: Sequence[str | Path] = (),
    stage_classes: StageClasses | None = None,
    post_processor: PostProcessor | None = None,
) -> Config:
    """Read the YAML text of a configuration, such as `Config.text` from a checkpoint.

    Args:
        text: the YAML text.
        path: the file that holds it, for messages and relative paths.
        overrides: as in `load_config`.
        sources: as in `load_config`.
        stage_classes: as in `load_config`.
        post_processor: as in `load_config`.

    Raises:
        UserError: anything that is wrong with it, as one line.
    """
    path = Path(path)
    return _finish(_changed(parse_tree(text, path), overrides, sources), path, stage_classes, post_processor)


def _changed(tree: Tree, overrides: Sequence[str], sources: Sequence[str | Path]) -> Tree:
    """Apply the options of the command line."""
    for assignment in overrides:
        tree.override(assignment)
    if sources:
        _use_sources(tree, [str(source) for source in sources])
    return tree


def _use_sources(tree: Tree, sources: list[str]) -> None:
    """Make the dataset read only the given files."""
    place = f"--source {' '.join(sources)}"
    tree.assign(("iotool", "dataset", "data_keys"), sources, place)
    dataset = tree.values["iotool"]["dataset"]
    for other in ("file_keys", "data_dirs", "data_key", "limit_num_files", "simulation", "sources"):
        dataset.pop(other, None)
    if dataset.get("name") == SIMULATED:
        dataset.pop("name")


def _follow_batch_size(tree: Tree) -> None:
    """Let an override of ``iotool.batch_size`` hold for the sampler too, where the field's files repeat it."""
    iotool = tree.values.get("iotool")
    if not isinstance(iotool, dict) or not tree.place(("iotool", "batch_size")).startswith("--set"):
        return
    sampler = iotool.get("sampler")
    if isinstance(sampler, dict) and not tree.place(("iotool", "sampler", "batch_size")).startswith("--set"):
        sampler.pop("batch_size", None)


def _finish(tree: Tree, path: Path, stage_classes: StageClasses | None, post_processor: PostProcessor | None) -> Config:
    notices = translate(tree)
    _follow_batch_size(tree)
    check_sections(tree)
    resolve_paths(tree, path.parent)
    values = check_names(check_sections(tree), tree, stage_classes, post_processor)
    return Config(values, path, _text(tree), (*notices, *_notices(tree)))


def _text(tree: Tree) -> str:
    """Return the YAML that is stored, whose files are found from any folder."""
    values = deepcopy(tree.values)
    use_full_paths(values)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def _notices(tree: Tree) -> tuple[str, ...]:
    trainval = tree.values.get("trainval") or {}
    return tuple(
        f"{tree.place(('trainval', key))}: trainval.{key}: no effect in mlreco, ignored"
        for key in IGNORED
        if key in trainval
    )
