"""Pages that a person looks at: event displays and reports."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "event_page": "mlreco.visualization.event_browser",
    "write_event_browser": "mlreco.visualization.event_browser",
    "write_event_display": "mlreco.visualization.event_browser",
    "write_report": "mlreco.visualization.report",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
