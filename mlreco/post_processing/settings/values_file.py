"""A YAML file of values by name, as tuning writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlreco.errors import UserError
from mlreco.inputs import read_text
from mlreco.yaml_reader import read_yaml

_MOST_BYTES = 1_000_000


def read_mapping(path: str | Path, title: str, example: str) -> Mapping[str, Any]:
    """Return what a file says.

    Args:
        path: the file.
        title: what it is called in messages, its path included.
        example: a line as it should be.

    Raises:
        UserError: the file cannot be read or does not map names to values.
    """
    try:
        found = read_yaml(read_text(path, _MOST_BYTES), str(path))
    except UserError as error:
        raise UserError(f"{title}{str(error).removeprefix(str(path))}") from error
    if not isinstance(found, Mapping):
        raise UserError(f"{title}: lines such as '{example}' are needed")
    return found
