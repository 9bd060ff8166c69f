"""Weights from a URL or the Hugging Face hub, kept in the user's cache folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mlreco.console import remark
from mlreco.errors import UserError

HUB, WEB = "hf://", ("https://", "http://")
HUB_VARIABLE, HUB_ADDRESS = "HF_ENDPOINT", "https://huggingface.co"
CACHE_VARIABLE = "MLRECO_CACHE"
"""Environment variable with the folder where weights are kept, instead of that of the operating system."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECONDS = 30
"""Seconds to wait for an answer."""


def is_remote(source: str | Path) -> bool:
    """Whether a name is a URL or that of a file of the hub."""
    return str(source).startswith((HUB, *WEB))


def fetch(source: str, sha256: str | None = None) -> Path:
    """Return the local copy of a file; it is downloaded where there is none yet.

    Args:
        source: ``https://...``, or ``hf://owner/repository/path`` (``repository@revision`` for another one than main).
        sha256: checksum of the file, 64 hexadecimal digits; it may also stand at the end of the source,
            ``...#sha256=...``. A file of another one is refused.

    Raises:
        UserError: no checksum, or the file has another; no connection and no copy; no such file; a folder that cannot
            be written; or the package that downloads is not installed.
    """
    address, _, fragment = str(source).partition("#")
    wanted = _checksum(address, sha256, fragment)
    address = _address(address)
    pooch = _pooch()
    folder, name = cache_folder(), f"{wanted[:16]}-{address.rpartition('/')[2]}"
    if not (folder / name).exists():
        remark(f"downloading {address} to {folder}")
    from requests import RequestException

    try:
        pooch.retrieve(
            address, f"sha256:{wanted}", fname=name, path=folder, downloader=pooch.HTTPDownloader(timeout=_SECONDS)
        )
    except ValueError as error:  # a malformed checksum or address
        if "hash" not in str(error):
            raise _unreachable(address, error) from None
        raise UserError(f"{address}: the file has another checksum than sha256={wanted}; it was not kept") from None
    except RequestException as error:
        raise _unreachable(address, error) from None
    except OSError as error:
        reason = error.strerror or "it cannot be written"
        raise UserError(
            f"{folder}: weights cannot be kept there: {reason}; set {CACHE_VARIABLE} to another folder"
        ) from None
    return folder / name


def local_checkpoint(source: str | Path, sha256: str | None = None) -> Path:
    """Return the file of a checkpoint that is here, or elsewhere (`fetch`).

    Args:
        source: a path, a URL, or ``hf://owner/repository/file``.
        sha256: as in `fetch`.

    Raises:
        UserError: as in `fetch`.
    """
    return fetch(str(source), sha256) if is_remote(source) else Path(source)


def cache_folder() -> Path:
    """Return the folder where downloaded weights are kept."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(_pooch().os_cache("mlreco"))


def _checksum(address: str, given: str | None, fragment: str) -> str:
    kind, _, written = fragment.partition("=")
    if fragment and kind != "sha256":
        raise UserError(f"{address}: expected #sha256=... at the end, not '#{fragment}'")
    if given and written and given.lower() != written.lower():
        raise UserError(f"{address}: two checksums are given, {given} and {written}")
    wanted = (given or written).lower()
    if not wanted:
        raise UserError(f"{address}: say which file is expected: sha256=..., or #sha256=... at the end")
    if not _SHA256.fullmatch(wanted):
        raise UserError(f"{address}: a sha256 has 64 hexadecimal digits, not '{wanted}'")
    return wanted


def _address(source: str) -> str:
    """Return the URL of a file of the hub; any other address as it is."""
    if not source.startswith(HUB):
        return source
    parts = source.removeprefix(HUB).split("/")
    if len(parts) < 3 or not all(parts):
        raise UserError(f"{source}: expected hf://owner/repository/file")
    repository, _, revision = "/".join(parts[:2]).partition("@")
    hub = os.environ.get(HUB_VARIABLE, HUB_ADDRESS).rstrip("/")
    return f"{hub}/{repository}/resolve/{revision or 'main'}/{'/'.join(parts[2:])}"


def _pooch() -> Any:
    try:
        import pooch
    except ImportError:
        raise UserError("weights from elsewhere need the package 'pooch': pip install 'mlreco[remote]'") from None
    pooch.get_logger().setLevel("WARNING")
    return pooch


def _unreachable(address: str, error: Exception) -> UserError:
    text = next(iter(str(error).splitlines()), "") or type(error).__name__
    return UserError(f"{address}: cannot be fetched, and there is no copy of it here: {text[:160]}")
