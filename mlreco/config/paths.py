"""Relative paths of input files, which start from the folder of the file that names them or of the main file."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlreco.config.merge import Tree
from mlreco.remote import is_remote
from mlreco.yaml_reader import KeyPath

DATA_KEYS = ("data_keys", "file_keys", "data_dirs")


def resolve_paths(tree: Tree, main_folder: Path) -> None:
    """Replace relative paths of data, of weights and of thresholds that exist beside the configuration file by these.

    A path is looked for in the folder of the file that it is written in, then in that of the file that includes it.

    Paths that do not exist there stay as they are written, that is relative to the working directory, as do the
    paths that come from the command line.
    """
    for path, holder, key in _path_values(tree.values):
        value = holder[key]
        folder = tree.folder(path)
        if not value or folder is None or Path(value).is_absolute():
            continue
        for place in (folder, main_folder):
            beside = place / Path(value).expanduser()
            pattern = f"{glob.escape(str(place))}/{value}"
            if beside.exists():
                holder[key] = str(beside)
                break
            if glob.has_magic(value) and glob.glob(pattern):
                holder[key] = pattern
                break


def use_full_paths(values: dict[str, Any]) -> None:
    """Replace paths relative to the working directory, of files that are there, by full ones.

    Args:
        values: of a configuration with valid types; changed.
    """
    for _, holder, key in _path_values(values):
        value = holder[key]
        if not value or is_remote(value):
            continue
        path = Path(value).expanduser()
        if not path.is_absolute() and (path.exists() or any(glob.iglob(str(path)))):
            holder[key] = str(Path.cwd() / path)


def _path_values(values: dict[str, Any]) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Yield each path in a configuration of valid types: its key path, and the container and key that hold it."""
    dataset = values["iotool"]["dataset"]
    for key in DATA_KEYS:
        yield from _texts(dataset, key, ("iotool", "dataset", key))
    for name, source in (dataset.get("sources") or {}).items():
        yield from _texts(source, "data_keys", ("iotool", "dataset", "sources", name, "data_keys"))
    for name, block in values["model"]["modules"].items():
        if block:
            for key in ("model_path", "thresholds"):
                yield from _texts(block, key, ("model", "modules", name, key))
    for name, arguments in (values.get("post_processing") or {}).items():
        if arguments:
            yield from _texts(arguments, "thresholds", ("post_processing", name, "thresholds"))
    if values.get("trainval"):
        yield from _texts(values["trainval"], "model_path", ("trainval", "model_path"))
        validation = values["trainval"].get("validation") or {}
        yield from _texts(validation, "data_keys", ("trainval", "validation", "data_keys"))


def _texts(holder: dict[str, Any], key: str, path: KeyPath) -> Iterator[tuple[KeyPath, Any, Any]]:
    value = holder.get(key)
    if isinstance(value, str):
        yield path, holder, key
    elif isinstance(value, list):
        for number in range(len(value)):
            yield (*path, str(number)), value, number
    elif isinstance(value, dict):
        for name in value:
            yield from _texts(value, name, (*path, str(name)))
