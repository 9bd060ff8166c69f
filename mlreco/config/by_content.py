"""Replaces the names of files in a configuration by their content, to compare configurations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlreco.errors import UserError
from mlreco.inputs import file_digest, read_text
from mlreco.yaml_reader import read_yaml

_VALUES = "thresholds"
"""Key with the name of a file of values, which may also be written in the configuration itself."""
_MOST_BYTES = 1_000_000


def by_content(part: Any, key: str = "") -> Any:
    """Return plain values in which files are replaced by their content: thresholds by values, others by SHA-256.

    So a file that was moved or renamed compares as equal, and one that was changed does not. A text counts as the name
    of a file if it has an ending or a folder and there is such a file.

    Args:
        part: of a checked configuration; not the data and weights, which are compared in other ways.
        key: under which it stands.

    Raises:
        UserError: a file cannot be read.
    """
    if isinstance(part, Mapping):
        return {name: by_content(value, key if key == _VALUES else name) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [by_content(value, key) for value in part]
    if not isinstance(part, str) or not _is_a_file(part):
        return part
    if key == _VALUES:
        return read_yaml(read_text(part, _MOST_BYTES), part)
    try:
        return f"sha256:{file_digest(Path(part))}"
    except OSError as error:
        raise UserError(f"{part}: cannot be read: {error.strerror or error}") from error


def _is_a_file(text: str) -> bool:
    looks_like_one = os.sep in text or bool(Path(text).suffix)
    try:
        return looks_like_one and Path(text).is_file()
    except (OSError, ValueError):
        return False
