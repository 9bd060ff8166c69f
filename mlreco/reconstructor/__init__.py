"""The Python interface: trained chains on arrays and files, and events as objects."""

from __future__ import annotations

from mlreco.on_demand import on_demand

_HOMES = {
    "Event": "mlreco.reconstructor.event",
    "EventFile": "mlreco.reconstructor.event_file",
    "Reconstructor": "mlreco.reconstructor.reconstructor",
    "open_events": "mlreco.reconstructor.event_file",
    "save_events": "mlreco.reconstructor.event",
}

__all__ = list(_HOMES)

__getattr__ = on_demand(__name__, _HOMES)
