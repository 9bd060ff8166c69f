"""The Python interface: trained chains on arrays and files, and events as objects."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Event": "mlreco.reconstructor.event",
    "EventFile": "mlreco.reconstructor.event_file",
    "Reconstructor": "mlreco.reconstructor.reconstructor",
    "open_events": "mlreco.reconstructor.event_file",
    "save_events": "mlreco.reconstructor.event",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
