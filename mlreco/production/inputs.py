"""The files that a production reconstructs, and the names of their outputs."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlreco.errors import UserError
from mlreco.inputs import input_file, storable
from mlreco.iotools.files import expand_sources


@dataclass(frozen=True)
class Input:
    """A file to reconstruct.

    Attributes:
        place: its number in the list of all files, from 0.
        path: the file, absolute.
        size: its bytes, as the file system said when the production began.
        output: name of its output in the output folder.
    """

    place: int
    path: Path
    size: int
    output: str


def list_inputs(sources: str | Path | Iterable[str | Path], folder: Path) -> list[Input]:
    """Return the files behind some sources, in their order.

    Args:
        sources: files, patterns, folders and ``.txt`` lists.
        folder: the output folder.

    Raises:
        UserError: there are none, one is missing or no regular file, one is given twice, lies in the output folder,
            or has a name that is no UTF-8.
    """
    paths = [Path(os.path.abspath(path)) for path in expand_sources(sources)]
    seen: dict[tuple[int, int], Path] = {}
    sizes = []
    inside = os.path.realpath(folder)
    for path in paths:
        found = input_file(path, "of events")
        if storable(str(path)) != str(path):
            raise UserError(
                f"{path}: a name that is no UTF-8, which a manifest cannot hold; rename the file or its folder"
            )
        before = seen.setdefault((found.st_dev, found.st_ino), path)
        if before is not path:
            same = "is given twice" if before == path else f"is the same file as {before}"
            raise UserError(f"{path}: {same}; its events would be reconstructed twice")
        if os.path.dirname(os.path.realpath(path)) == inside:
            raise UserError(f"{path}: is an input and lies in the output folder; write to another folder")
        sizes.append(found.st_size)
    names = output_names(paths)
    listed = zip(paths, sizes, names, strict=True)
    return [Input(place, path, size, name) for place, (path, size, name) in enumerate(listed)]


def output_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of the outputs of some files: those of the files, ending in ``.h5``.

    Files of the same name in different folders get names of their folders in front: ``a/x.h5`` and ``b/x.h5`` become
    ``a_x.h5`` and ``b_x.h5``. Upper and lower case are the same, as on some file systems.

    Args:
        paths: absolute paths, all different.
    """
    stems = [path.stem for path in paths]
    names = list(stems)
    for depth in range(1, max(len(path.parts) for path in paths)):
        shared = _shared(names)
        if not shared:
            break
        for place in shared:
            names[place] = "_".join([*paths[place].parent.parts[1:][-depth:], stems[place]])
    for place in _shared(names):
        names[place] += f"-{hashlib.sha256(os.fsencode(paths[place])).hexdigest()[:12]}"
    return [f"{name}.h5" for name in names]


def _shared(names: Sequence[str]) -> list[int]:
    """Return the places of names that stand more than once in a list."""
    counts = Counter(name.casefold() for name in names)
    return [place for place, name in enumerate(names) if counts[name.casefold()] > 1]
