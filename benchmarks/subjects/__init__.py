"""What is measured, one module each.

A subject has ``TITLE``, a line for the table, and ``measure(settings)``, which yields measurements. To add one, write
the module and name it here.
"""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = ("peak", "engine", "scaling", "clusterer", "losses", "events", "reading", "memory", "start")


def load(name: str) -> ModuleType:
    """Import a subject."""
    return importlib.import_module(f"benchmarks.subjects.{name}")
