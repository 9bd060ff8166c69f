"""Files that are shipped with the package: configurations, weights and a sample of events, by name."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

from mlreco.errors import UserError, nearest

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "shipped_files", _PACKAGE.parent / "config")
"""The folder in an installed package, and in a checkout."""

CONFIG_SUFFIXES = (".cfg", ".yaml", ".yml")
"""Endings of the names of configuration files, shipped or not."""

DEMO = "demo"
"""Name of the shipped configuration that ``mlreco demo`` uses."""

_PROSE = re.compile("# ?[^ ]")
"""A line of a comment that is no indented example."""
_SENTENCE = re.compile(r"(.*?\.(?= |$)|.*)")

SAMPLE = "sample"
"""Name of the sample of a configuration: that which it reads, the thin one where it reads other files."""

SAMPLES = {SAMPLE: "thin_sample.h5", "thin_sample": "thin_sample.h5", "fat_sample": "fat_sample.h5"}
"""Names of files of events, for ``--source``; the first where there is no configuration."""


def folder() -> Path:
    """Return the folder of the shipped configurations.

    Raises:
        UserError: it is missing, as in a package that was copied in part.
    """
    for place in _PLACES:
        if place.is_dir():
            return place
    raise UserError(f"{_PLACES[0]}: the shipped configurations are missing; install mlreco again")


def configurations() -> dict[str, Path]:
    """Return the file of every shipped configuration by its name."""
    return {path.stem: path for path in sorted(folder().glob("*.cfg"))}


def configuration(name: str) -> Path:
    """Return the file of a shipped configuration.

    Raises:
        UserError: there is none of that name; tells the nearest.
    """
    known = configurations()
    if name in weights() and name not in known:
        raise UserError(f"'{name}' are weights of a part of a chain; name a configuration ('mlreco configs')")
    if name not in known:
        raise UserError(f"no file and no shipped configuration '{name}'{nearest(name, known)} ('mlreco configs')")
    return known[name]


def weights() -> dict[str, Path]:
    """Return the file of all shipped weights by their names."""
    return {path.stem: path for path in sorted((folder() / "weights").glob("*.ckpt"))}


def description(path: Path) -> str:
    """Return the first sentence of the comment at the head of a configuration file."""
    lines = takewhile(_PROSE.match, path.read_text(encoding="utf-8").splitlines())
    text = " ".join(line.removeprefix("#").strip() for line in lines)
    found = _SENTENCE.match(text)
    return "" if found is None else found[0].removesuffix(":")


def samples() -> dict[str, Path]:
    """Return the shipped files of events by their names."""
    return {name: folder() / "sample" / file for name, file in SAMPLES.items()}


def sample(name: str) -> Path | None:
    """Return the shipped file of events of that name, None where there is none."""
    return samples().get(name)


def is_sample(path: str | Path) -> bool:
    """Whether a file is one of the shipped samples of events."""
    return Path(path).resolve().parent == folder() / "sample"
