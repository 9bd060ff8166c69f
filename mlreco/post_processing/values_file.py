"""A YAML file of values by name, as tuning writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlreco.errors import UserError


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
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"{title}: cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{title}: no valid YAML: {error}") from error
    if not isinstance(found, Mapping):
        raise UserError(f"{title}: lines such as '{example}' are needed")
    return found
