"""One registry for everything that a configuration calls by name: models, parsers, readers, post-processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mlreco.errors import UserError, nearest

EXTRAS = {
    "spconv": "cuda",
    "cumm": "cuda",
    "uproot": "root",
    "awkward": "root",
    "larcv": "larcv",
}
"""Import name of an optional dependency -> extra of this package that installs it."""


@dataclass(frozen=True)
class Entry:
    """A registered object.

    Attributes:
        name: what configurations call it.
        location: ``module:attribute``.
        package: the distribution that registers it, with its version; one that a built-in name hides says so.
    """

    name: str
    location: str
    package: str


class Registry:
    """Objects by name: the built-in ones, those of installed packages, and any ``package.module:attr``.

    Nothing is imported before it is asked for, so a missing optional dependency breaks only what uses it.

    Attributes:
        kind: what is registered, in the singular, for messages (``model``, ``parser``).
        builtin: name -> ``module:attr``.
        group: entry point group that other packages add names through; empty for none.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], entry_point_group: str = "") -> None:
        self.kind = kind
        self.builtin = dict(builtin)
        self.group = entry_point_group

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self._plugins

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        if not self.group:
            return {}
        return {point.name: point for point in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """Return the sorted names of the built-in and installed objects; nothing is imported."""
        return sorted({*self.builtin, *self._plugins})

    def entries(self) -> list[Entry]:
        """Return what is registered, sorted by name; nothing is imported."""
        own = [Entry(name, location, __package__ or "") for name, location in self.builtin.items()]
        others = []
        for name, point in self._plugins.items():
            package = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
            hidden = f" (hidden: a name of {__package__})" if name in self.builtin else ""
            others.append(Entry(name, point.value, package + hidden))
        return sorted([*own, *others], key=lambda entry: (entry.name, entry.package))

    def check(self, name: str) -> None:
        """Raise the error of `get` for an unknown name, without importing anything for a known one.

        Raises:
            UserError: no such name.
        """
        if name not in self and ":" not in name:
            raise UserError(f"no {self.kind} '{name}'{nearest(name, self.names())}")

    def get(self, name: str) -> Any:
        """Import and return the object of a name.

        A built-in name wins over an installed package's, so that installing a package changes no configuration.

        Args:
            name: a registered name or ``package.module:attr``.

        Raises:
            UserError: no such name; its package, module or attribute is missing; an optional dependency is missing.
            ImportError: a module of this package is broken.
        """
        self.check(name)
        if name in self.builtin:
            return self._load(name, self.builtin[name])
        if name in self._plugins:
            return self._load(name, self._plugins[name].value)
        return self._load(name, name)

    def _load(self, name: str, location: str) -> Any:
        module_name, _, attribute = location.partition(":")
        if not module_name or not attribute:
            raise UserError(f"{self.kind} '{name}': '{location}' is not of the form package.module:attr")
        try:
            value = import_module(module_name)
        except ImportError as error:
            if (error.name or "").partition(".")[0] == __package__:
                raise
            raise UserError(_missing(f"{self.kind} '{name}'", error)) from error
        for part in attribute.split("."):
            if not hasattr(value, part):
                public = [word for word in dir(value) if not word.startswith("_")]
                raise UserError(f"{self.kind} '{name}': {module_name} has no '{part}'{_closest(part, public)}")
            value = getattr(value, part)
        return value


def _closest(word: str, valid: list[str]) -> str:
    hint = nearest(word, valid)
    return hint if "did you mean" in hint else ""


def _missing(what: str, error: ImportError) -> str:
    package = (error.name or "").partition(".")[0]
    if package in EXTRAS:
        extra = EXTRAS[package]
        return f"{what} needs the package '{package}', which is not installed: pip install 'mlreco[{extra}]'"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{what} needs the module '{error.name}', which is not installed"
    return f"{what} cannot be imported: {error}"
