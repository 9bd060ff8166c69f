"""From what a user gives as data to a list of files."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from mlreco.errors import UserError

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
        found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
        if not found:
            raise UserError(f"{path}: the folder holds no {', '.join(_SUFFIXES)} file")
        return found
    if path.suffix == ".txt":
        return _from_list(path)
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    matches = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    if not matches:
        raise UserError(f"{path}: no file matches the pattern")
    return matches


def _from_list(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the list of files cannot be read: {error}") from None
    entries = [line.partition("#")[0].strip() for line in lines]
    return [file for entry in entries if entry for file in _expand(entry, path.parent)]
