"""Opening ROOT files: what can go wrong is told in one line."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlreco.errors import UserError
from mlreco.iotools.filekind import ROOT_FILE, file_kind
from mlreco.iotools.larcv2.layout import KINDS
from mlreco.iotools.voxel_rows import Fail

_SUFFIX = "_tree"
_LARGE_FILE_VERSION = 1_000_000


def open_root(path: Path) -> Any:
    """Open a ROOT file with uproot, without caches.

    Raises:
        UserError: missing, truncated, damaged, of another kind, or uproot is not installed.
    """
    kind = file_kind(path)
    if kind != ROOT_FILE:
        raise UserError(f"{path}: not a LArCV2 file; it seems to be {kind}")
    _check_length(path)
    try:
        import uproot
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path}: reading ROOT files needs the package '{error.name}': pip install 'mlreco[root]'"
        ) from None
    try:
        return uproot.open(path, object_cache=None, array_cache=None, handler=uproot.MemmapSource)
    except Exception as error:
        raise UserError(f"{path}: damaged ROOT file: {_first_line(error)}") from error


def product_trees(file: Any, path: Path) -> dict[str, Any]:
    """Return the trees of products that are read, by name of the product.

    Raises:
        UserError: there are none, they have different lengths, or the file is damaged.
    """
    with telling(lambda text: UserError(f"{path}: {text}")):
        names = file.keys(recursive=False, cycle=False, filter_classname="TTree")
        products = [name.removesuffix(_SUFFIX) for name in dict.fromkeys(names) if name.endswith(_SUFFIX)]
        trees = {name: file[name + _SUFFIX] for name in products if name.partition("_")[0] in KINDS}
        lengths = {name: int(tree.num_entries) for name, tree in trees.items()}
    if not trees:
        found = ", ".join(names[:6]) or "nothing"
        raise UserError(f"{path}: a ROOT file without trees of LArCV2 such as 'sparse3d_NAME_tree'; it holds {found}")
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    if lengths[shortest] != lengths[longest]:
        raise UserError(
            f"{path}: product '{shortest}' has {lengths[shortest]} events and '{longest}' {lengths[longest]}; "
            "the file is incomplete"
        )
    return trees


def leaves_of(tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree, at any depth, by name."""
    return {branch.name: branch for branch in tree.itervalues(recursive=True) if not len(branch.branches)}


@contextmanager
def telling(fail: Fail) -> Iterator[None]:
    """Turn whatever uproot raises on damaged data into a user's error.

    Raises:
        UserError: always instead of another exception.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise fail(f"cannot be read ({_first_line(error)}); the file is damaged or of an unknown version") from error


def _check_length(path: Path) -> None:
    """Compare the length of a file with the one in its header."""
    with open(path, "rb") as file:
        head = file.read(32)
    if len(head) < 32:
        raise UserError(f"{path}: the file is truncated; copy or make it again")
    version = struct.unpack(">i", head[4:8])[0]
    end = struct.unpack(">q", head[12:20])[0] if version >= _LARGE_FILE_VERSION else struct.unpack(">i", head[12:16])[0]
    if end > os.path.getsize(path):
        raise UserError(f"{path}: the file is truncated, {os.path.getsize(path)} of {end} bytes; copy or make it again")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) < 160 else f"{text[:157]}..."
