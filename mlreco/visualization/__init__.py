"""Pages that a person looks at: event displays and reports."""

from __future__ import annotations

from mlreco.on_demand import on_demand

_HOMES = {
    "event_page": "mlreco.visualization.event_browser",
    "write_event_browser": "mlreco.visualization.event_browser",
    "write_event_display": "mlreco.visualization.event_browser",
    "write_report": "mlreco.visualization.report",
}

__all__ = list(_HOMES)

__getattr__ = on_demand(__name__, _HOMES)
