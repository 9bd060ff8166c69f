"""The output folder of a production, identified by its ``production.json``."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from mlreco.atomic import make_folder, write_failure, write_text
from mlreco.errors import UserError
from mlreco.inputs import read_text
from mlreco.leftovers import remove_leftovers, unfinished_file
from mlreco.production.identity import Identity, differences

IDENTITY = "production.json"
_LONGEST = 1 << 26
"""Bytes of an identity that are read."""
_SHOWN = 3


def claim(folder: Path, identity: Identity) -> None:
    """Make the folder of a production, or check that an existing one belongs to it.

    Args:
        folder: the output folder.
        identity: of what is going to be written there.

    Raises:
        UserError: it belongs to another production; says what differs.
        WriteError: it cannot be written.
    """
    make_folder(folder)
    path = folder / IDENTITY
    if not path.exists():
        _write_first(path, identity.model_dump_json(indent=1) + "\n")
    theirs = _read(path)
    if theirs != identity:
        found = differences(theirs, identity)
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        text = "; ".join(found[:_SHOWN])
        raise UserError(f"{folder}: an output folder of another production ({text}{more}); write to another folder")


def _read(path: Path) -> Identity:
    try:
        return Identity.model_validate_json(read_text(path, _LONGEST))
    except ValidationError:
        raise UserError(f"{path}: does not say whose output folder this is; write to another folder") from None


def _write_first(path: Path, text: str) -> None:
    """Write a file as a whole unless another process was first.

    Raises:
        WriteError: it cannot be written.
    """
    temporary = None
    remove_leftovers(path)
    try:
        handle, temporary = unfinished_file(path)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
            os.chmod(temporary, 0o644)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return
            except OSError:  # a file system without links
                write_text(path, text)
    except OSError as error:
        raise write_failure(path, error) or error from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
