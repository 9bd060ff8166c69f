"""The pickle of a checkpoint, checked before it is loaded.

``torch.load(weights_only=True)`` runs no code, but it allocates what a pickle declares: ``bytearray(10**11)`` is one of
the calls that it allows, and some versions believe in numbers of a tensor that the file does not hold.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from mlreco.errors import UserError

_PICKLE = "/data.pkl"
_CODES = {
    *("APPEND", "APPENDS", "BINFLOAT", "BINGET", "BININT", "BININT1", "BININT2"),
    *("BINPERSID", "BINPUT", "BINUNICODE", "BUILD", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"),
    *("GLOBAL", "LONG1", "LONG_BINGET", "LONG_BINPUT", "MARK", "NEWFALSE", "NEWTRUE"),
    *("NONE", "PROTO", "REDUCE", "SETITEM", "SETITEMS", "STOP", "TUPLE"),
    *("TUPLE1", "TUPLE2", "TUPLE3"),
}
"""Operations of a pickle that ``torch.save`` writes for tensors and plain values."""


def _nothing(*arguments: Any) -> None:
    """Placeholder for a function that makes a tensor."""


_KINDS = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
}
_MADE_OF = {
    "collections.OrderedDict": OrderedDict,
    "torch.Size": tuple,
    "torch.serialization._get_layout": _nothing,
    "torch._utils._rebuild_tensor_v2": _nothing,
    "torch._utils._rebuild_parameter": _nothing,
    "torch._utils._rebuild_sparse_tensor": _nothing,
    "torch._utils._rebuild_meta_tensor_no_storage": _nothing,
    **{f"torch.{name}Storage": kind.itemsize for name, kind in _KINDS.items()},
    **dict.fromkeys(map(str, _KINDS.values())),
}
"""Name of a function or class in a checkpoint -> its placeholder; for types of numbers, the bytes of one number."""


def check_pickle(archive: zipfile.ZipFile, path: Path) -> None:
    """Check that a checkpoint asks for nothing but tensors and plain values, of no more numbers than the file holds.

    Args:
        archive: the open file.
        path: the file, for messages.

    Raises:
        UserError: it asks for more.
        Exception: its pickle is damaged, or there is none.
    """
    (name,) = [name for name in archive.namelist() if name.endswith(_PICKLE) and name.count("/") == 1]
    data = archive.read(name)
    for code, argument, _ in pickletools.genops(data):
        if code.name not in _CODES:
            raise UserError(f"{path}: its pickle has the operation {code.name}, which no checkpoint needs")
        if code.name == "LONG_BINPUT" and argument is not None and argument > len(data):
            raise UserError(f"{path}: its pickle claims to hold {argument:,} values in {len(data):,} bytes")
    root = name.removesuffix(_PICKLE)
    _Looker(data, {entry.filename: entry.file_size for entry in archive.infolist()}, root, path).load()


class _Looker(pickle.Unpickler):
    """Reads a pickle and makes only containers and plain values.

    Args:
        data: the pickle.
        sizes: bytes of each entry of the archive.
        root: folder of the archive.
        path: the file, for messages.
    """

    def __init__(self, data: bytes, sizes: dict[str, int], root: str, path: Path) -> None:
        super().__init__(io.BytesIO(data))
        self._sizes, self._root, self._path = sizes, root, path

    def find_class(self, module: str, name: str) -> Any:
        """Return the placeholder for a function or a class."""
        full = f"{module}.{name}"
        if full not in _MADE_OF:
            raise UserError(f"{self._path}: asks for '{full}', of which no checkpoint is made")
        return _MADE_OF[full]

    def persistent_load(self, reference: Any) -> None:
        """Compare the numbers that a tensor claims with its entry of the archive."""
        _, size, key, _, count = reference
        claimed, held = size * count, self._sizes[f"{self._root}/data/{key}"]
        if claimed != held:
            raise UserError(f"{self._path}: claims to hold {claimed:,} bytes in 'data/{key}', which has {held:,}")
