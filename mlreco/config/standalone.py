"""Shipped configurations as text that can be kept anywhere."""

from __future__ import annotations

from mlreco.config.load import load_config
from mlreco.shipped import configuration


def standalone(name: str) -> str:
    """Return the text of a shipped configuration that can be kept anywhere: with its includes, and files by full path.

    Raises:
        UserError: there is none of that name.
    """
    path = configuration(name)
    comment = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return "\n".join([*comment, load_config(path).text])
