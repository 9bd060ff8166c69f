"""Checkpoint files: written completely or not at all, and read only if their checksums are right.

A checkpoint is what ``torch.save`` writes: a zip archive with a checksum of each of its entries, at which torch itself
does not look.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from mlreco.atomic import atomic_path
from mlreco.checkpoints.pickled import check_pickle
from mlreco.errors import UserError
from mlreco.inputs import input_file

_MOST_EXPANSION = 20
"""Largest ratio of the content to the file; that of compressed weights is at most 2."""
_ALWAYS_ALLOWED = 64 << 20
"""Bytes of content that any file may have."""
_PIECE = 1 << 20


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint file, tensors on the CPU.

    Only tensors and plain values are unpickled, so a checkpoint cannot run code.

    Raises:
        UserError: the file is missing, damaged or no checkpoint of this program.
    """
    path = Path(path)
    input_file(path, "of weights", missing="no such checkpoint")
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch and zipfile raise many types on damaged files
        raise UserError(f"{path}: not a checkpoint of mlreco, or damaged") from error
    if not isinstance(content, Mapping) or "state_dict" not in content:
        raise UserError(f"{path}: not a checkpoint of mlreco: it has no 'state_dict'")
    for name, tensor in _tensors(content):
        problem = _problem(tensor)
        if problem:
            raise UserError(f"{path}: '{name}' {problem}")
    for key in ("state_dict", "trained_state_dict"):
        _check_state(content.get(key, {}), key, path)
    return dict(content)


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint under a temporary name, synchronise it and rename it.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    buffer = io.BytesIO()  # torch hides the reason of a failed write to a file
    torch.save(dict(content), buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _check_archive(path: Path) -> None:
    """Check the checksums of all entries of an archive that does not claim to hold more than it can.

    Raises:
        UserError: an entry is not as it was written, the archive is a bomb, or it is to be made of other things than
            tensors and plain values.
        Exception: it is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > max(_MOST_EXPANSION * path.stat().st_size, _ALWAYS_ALLOWED):
            raise UserError(f"{path}: claims to hold {size / 1e6:.0f} MB, more than a checkpoint of this size can")
        for entry in entries:
            try:
                with archive.open(entry) as stream:
                    while stream.read(_PIECE):
                        pass
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise UserError(f"{path}: damaged: '{entry.filename}' is not what was written") from error
        check_pickle(archive, path)


def _tensors(content: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield all tensors in nested dictionaries and lists with their places, each container once."""
    seen: set[int] = set()
    waiting = [(name, content)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield place, value
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting += [(f"{place}.{key}" if place else str(key), item) for key, item in items]


def _problem(tensor: torch.Tensor) -> str:
    """Return what is wrong with a tensor beside its numbers."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return f"is a tensor of the kind {tensor.layout}, where an ordinary one is right"
    if tensor.device.type != "cpu":
        return f"is on the device '{tensor.device}' and holds no numbers"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"claims the shape {tuple(tensor.shape)}, for which it holds too few numbers"
    return ""


def _check_state(state: Any, key: str, path: Path) -> None:
    """Check that weights are tensors by name.

    Raises:
        UserError: they are not.
    """
    if not isinstance(state, Mapping):
        raise UserError(f"{path}: '{key}' is no table of tensors by name")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise UserError(f"{path}: '{key}.{name}' is no tensor")
