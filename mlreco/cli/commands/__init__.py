"""The commands: one module each, found by being in this folder.

A module has ``NAME``, ``HELP``, ``add_arguments(parser)`` and ``run(arguments)``. It imports what it needs in ``run``,
so that ``mlreco --help`` is quick and a command works where the dependencies of another are missing.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

OLD_FORM = "run-config"
"""Hidden command behind ``run.py CONFIG``."""


def names() -> list[str]:
    """Return the names of the commands; a module has the name of its command, with ``_`` for ``-``."""
    return [name.replace("_", "-") for name in _modules()]


def load() -> list[ModuleType]:
    """Return the modules of the commands."""
    return [import_module(f"{__name__}.{name}") for name in _modules()]


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]
