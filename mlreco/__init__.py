"""Reconstruction of particles in 3D images of liquid-argon time projection chambers.

    import mlreco

    reco = mlreco.Reconstructor.from_pretrained("thin")
    event = reco.predict(coordinates, energies, voxel_size=0.3)
    print(event.instances, event.particles.to_pandas())

Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mlreco.version import __version__

if TYPE_CHECKING:
    from mlreco.errors import UserError
    from mlreco.reconstructor import Event, EventFile, Reconstructor
    from mlreco.reconstructor.event import save_events as save
    from mlreco.reconstructor.event_file import open_events as open

_HOMES = {
    "Event": ("mlreco.reconstructor.event", "Event"),
    "EventFile": ("mlreco.reconstructor.event_file", "EventFile"),
    "Reconstructor": ("mlreco.reconstructor.reconstructor", "Reconstructor"),
    "UserError": ("mlreco.errors", "UserError"),
    "open": ("mlreco.reconstructor.event_file", "open_events"),
    "save": ("mlreco.reconstructor.event", "save_events"),
}

__all__ = ["Event", "EventFile", "Reconstructor", "UserError", "__version__", "open", "save"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlreco' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
