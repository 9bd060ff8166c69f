"""Digest of the texts of an output file.

Tables have checksums; texts stand in a heap of the HDF5 library that has none, so that a changed bit of a configuration
or of a threshold would not be noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mlreco.iotools.skipped import Skipped

DIGEST = "digest"
"""Attribute of ``/info`` with the digest of the others."""


def digest(info: Mapping[str, Any], columns: Mapping[str, Sequence[str]], skipped: Sequence[Skipped]) -> str:
    """Return the SHA-256 of the attributes of ``/info``, of the names of columns and of the table ``skipped``.

    Args:
        info: attributes as the reader returns them.
        columns: product -> names of its columns.
        skipped: what was left out.
    """
    attributes = {name: value for name, value in info.items() if name != DIGEST}
    listed = {name: list(names) for name, names in columns.items()}
    content = [attributes, listed, [asdict(one) for one in skipped]]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode("ascii")).hexdigest()


def check_digest(info: Mapping[str, Any], columns: Mapping[str, Sequence[str]], skipped: Sequence[Skipped]) -> None:
    """Compare with the digest in the file; older files have none.

    Raises:
        ValueError: a text was changed since.
    """
    if DIGEST in info and info[DIGEST] != digest(info, columns, skipped):
        raise ValueError("its texts (/info, columns, skipped) are not those that were written")
