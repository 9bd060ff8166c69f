"""Attributes of an output file that hold for its events, and those of the file itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlreco.iotools.output.digest import DIGEST
from mlreco.iotools.output.parts import PARTS

PRODUCTION = "production"
"""Attribute of ``/info`` that says of which input, settings and weights a production made this file."""
_OF_THE_FILE = frozenset(
    {
        "columns",
        "complete",
        "events_in",
        "events_skipped",
        "files_skipped",
        "format",
        "format_version",
        "products",
        "version",
        DIGEST,
        PARTS,
        PRODUCTION,
    }
)


def of_the_events(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that hold for events in whatever file they stand, without those of the file.

    Args:
        info: attributes as the reader returns them.
    """
    return {name: value for name, value in info.items() if name not in _OF_THE_FILE}
