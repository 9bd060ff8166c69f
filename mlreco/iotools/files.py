"""Expands names, patterns, folders and lists of data to a list of files."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from mlreco.errors import UserError
from mlreco.inputs import read_text

_LONGEST_LIST = 100_000_000
"""Most bytes of a ``.txt`` list of files."""

_SUFFIXES = (".h5", ".hdf5", ".root")


def expand_sources(sources: str | Path | Iterable[str | Path], limit: int | None = None) -> list[Path]:
    """List the files behind names, glob patterns, folders and ``.txt`` lists.

    Args:
        sources: one or several; a folder gives its h5, hdf5 and root files, a ``.txt`` file one source a line (``#``
            begins a comment, relative names are relative to the list's folder).
        limit: keep at most this many files; None or 0 for all.

    Returns:
        Files in the order given; those of a pattern or a folder sorted by name.

    Raises:
        UserError: nothing given, a pattern or folder without files, a missing list.
    """
    items = [sources] if isinstance(sources, (str, Path)) else list(sources)
    files = [file for item in items for file in _expand(item)]
    if not files:
        raise UserError("no data files given; set iotool.dataset.data_keys or give --source")
    return files[:limit] if limit else files


def _expand(item: str | Path, folder: Path | None = None) -> list[Path]:
    path = Path(item).expanduser()
    if folder is not None and not path.is_absolute():
        path = folder / path
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if _is_data(file)]
        if not found:
            raise UserError(f"{path}: the folder holds no {', '.join(_SUFFIXES)} file")
        return found
    named = [path] if path.exists() or not glob.has_magic(str(path)) else _matches(path)
    return [file for one in named for file in (_from_list(one) if one.suffix == ".txt" else [one])]


def _is_data(path: Path) -> bool:
    """Whether a file in a folder is an event file; hidden files belong to other programs or are unfinished."""
    return path.suffix in _SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _matches(pattern: Path) -> list[Path]:
    """Return the files of a pattern; where it matches several kinds of files, only event files."""
    found = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
    files = [path for path in found if not path.is_dir()]
    chosen = [path for path in files if path.suffix in _SUFFIXES] or files
    if not chosen:
        raise UserError(f"{pattern}: no file matches the pattern")
    return chosen


def _from_list(path: Path) -> list[Path]:
    lines = read_text(path, _LONGEST_LIST).splitlines()
    entries = [line.partition("#")[0].strip() for line in lines]
    return [file for entry in entries if entry for file in _expand(entry, path.parent)]
