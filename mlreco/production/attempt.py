"""One attempt to reconstruct one file, and the kind of its failure."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlreco.config import Config
from mlreco.errors import UserError, WriteError
from mlreco.inference.reconstruction import Reconstruction
from mlreco.inference.run import run_inference
from mlreco.inputs import file_digest
from mlreco.iotools.output.carried import PRODUCTION
from mlreco.iotools.skipped import WHOLE_FILE, Skipped
from mlreco.locks import lock
from mlreco.production.inputs import Input
from mlreco.production.manifest import Done, Failed
from mlreco.production.output import Made, describe, finished
from mlreco.provenance import host, versions

_told: set[str] = set()
"""Faults of the program whose traceback was shown; another file may show the same."""


@dataclass(frozen=True)
class Maker:
    """Makes the outputs of a production.

    Attributes:
        config: a checked configuration.
        reconstruction: its chain.
        fingerprint: of both.
        folder: the output folder, absolute.
        show_progress: whether its progress within a file is shown.
    """

    config: Config
    reconstruction: Reconstruction
    fingerprint: str
    folder: Path
    show_progress: bool = True


def attempt(one: Input, maker: Maker) -> Done | Failed:
    """Reconstruct a file into its output, which appears when it is complete.

    Args:
        one: the file.
        maker: what reconstructs it.

    Raises:
        WriteError: the output cannot be written; no other would be.
    """
    checksum = ""
    try:
        done = finished(maker.folder, one, maker.fingerprint, {})
        if done is not None:  # from a process that died before it recorded it
            return done
        before = one.path.stat()
        checksum = _checksum(one.path)
        return _reconstruct(one, checksum, before, maker)
    except WriteError:
        raise
    except UserError as error:
        return failure(one, "damaged" if _is_still(one.path, checksum) else "transient", str(error))
    except BlockingIOError:
        return failure(one, "transient", "another process is writing this file")
    except OSError as error:
        return failure(one, "transient", f"cannot be read: {error.strerror or error}")
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return failure(one, "transient", "out of memory: lower iotool.batch_size")
        text = f"{type(error).__name__}: {error}"
        if text not in _told:
            _told.add(text)
            traceback.print_exception(error)
        return failure(one, "bug", f"{text}; this is a bug in mlreco, please report it")


def _reconstruct(one: Input, checksum: str, before: os.stat_result, maker: Maker) -> Done | Failed:
    made = Made(
        input=str(one.path),
        input_bytes=before.st_size,
        input_sha256=checksum,
        fingerprint=maker.fingerprint,
        host=host(),
        versions=versions(),
    )
    output = maker.folder / one.output
    run_inference(
        maker.config,
        output,
        reconstruction=maker.reconstruction,
        sources=[one.path],
        info={PRODUCTION: made.model_dump_json()},
        show_progress=maker.show_progress,
    )
    after = one.path.stat()
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        output.unlink()
        return failure(one, "transient", "has changed while it was read")
    return describe(output, one.place)


def _checksum(path: Path) -> str:
    """Return the checksum of an input that nobody is writing.

    Raises:
        OSError: it cannot be read; `BlockingIOError` where another process is writing it.
    """
    with path.open("rb") as file:
        lock(file, exclusive=False)
        return file_digest(path)


def _is_still(path: Path, checksum: str) -> bool:
    """Whether a file has the same content as before, so that it would fail again."""
    try:
        return file_digest(path) == checksum
    except OSError:
        return False


def failure(one: Input, kind: Literal["damaged", "transient", "bug"], message: str) -> Failed:
    """Return the entry of an attempt that failed."""
    reason = " ".join(Skipped.because(one.path, WHOLE_FILE, message).reason.split())
    return Failed(place=one.place, input=str(one.path), input_bytes=one.size, reason=reason, kind=kind, attempts=1)
