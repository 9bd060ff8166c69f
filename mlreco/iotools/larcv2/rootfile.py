"""Opening ROOT files, with one line for everything that can go wrong."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.filekind import ROOT_FILE, file_kind
from mlreco.iotools.ids import event_numbers
from mlreco.iotools.larcv2.layout import EVENT_LEAVES, KINDS
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


def product_trees(file: Any, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the trees of products that are read, by name of the product, and why others cannot be read.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    trees: dict[str, Any] = {}
    unusable: dict[str, str] = {}
    with telling(lambda text: UserError(f"{path}: {text}")):
        names = file.keys(recursive=False, cycle=False, filter_classname="TTree")
    products = [name.removesuffix(_SUFFIX) for name in dict.fromkeys(names) if name.endswith(_SUFFIX)]
    for name in products:
        if name.partition("_")[0] in KINDS:
            try:
                with telling(UserError):
                    trees[name] = file[name + _SUFFIX]
            except UserError as error:
                unusable[name] = str(error)
    if not trees:
        found = next(iter(unusable.values()), None)
        if found is not None:
            raise UserError(f"{path}: {next(iter(unusable))}: {found}")
        held = ", ".join(names[:6]) or "nothing"
        raise UserError(f"{path}: a ROOT file without trees of LArCV2 such as 'sparse3d_NAME_tree'; it holds {held}")
    return trees, unusable


def event_ids(trees: dict[str, Any]) -> tuple[np.ndarray, dict[str, str]]:
    """Return run, subrun and event of the events of a file, (n, 3) int64, and why some of its trees cannot be used.

    The events are those of most trees; between equally many trees those with the most events. A single tree that was
    filled differently, or not at all, does not prevent reading the others.

    Args:
        trees: product -> tree.
    """
    unusable: dict[str, str] = {}
    holders: dict[bytes, list[str]] = {}
    found: dict[bytes, np.ndarray] = {}
    for product, tree in trees.items():
        try:
            with telling(UserError):
                leaves = leaves_of(tree)
                columns = [event_numbers(leaves[name].array(library="np"), name) for name in EVENT_LEAVES]
                ids = np.stack(columns, axis=1)
        except UserError as error:
            unusable[product] = str(error)
        else:
            holders.setdefault(ids.tobytes(), []).append(product)
            found[ids.tobytes()] = ids
    if not found:
        return np.zeros((0, 3), np.int64), unusable
    chosen = max(found, key=lambda key: (len(found[key]) > 0, len(holders[key]), len(found[key])))
    for key, products in holders.items():
        if key != chosen:
            reason = _other_events(found[key], found[chosen], holders[chosen][0])
            unusable.update(dict.fromkeys(products, reason))
    return found[chosen], unusable


def _other_events(ids: np.ndarray, chosen: np.ndarray, product: str) -> str:
    """Return in words how the events of a tree differ from those of the file."""
    if len(ids) != len(chosen):
        return f"has {len(ids)} events and '{product}' {len(chosen)}; the file is incomplete"
    row = int(np.flatnonzero((ids != chosen).any(axis=1))[0])
    return f"its entry {row} is event {ids[row].tolist()}, and {chosen[row].tolist()} in '{product}'"


def leaves_of(tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree, at any depth, by name."""
    return {branch.name: branch for branch in tree.itervalues(recursive=True) if not len(branch.branches)}


@contextmanager
def telling(fail: Fail) -> Iterator[None]:
    """Turn any exception of uproot on damaged data into a user's error.

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
