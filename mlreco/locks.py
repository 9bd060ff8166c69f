"""Locks on files between processes, as the HDF5 library takes them; without effect where the system has none."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import IO, Any

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
_SETTING = "HDF5_USE_FILE_LOCKING"
"""Environment variable with which users of the HDF5 library switch off locks."""

DO_WITHOUT = f"{_SETTING}=FALSE in the environment does without locks"
"""Hint for the user where locks fail."""


def lock(file: IO[Any], exclusive: bool) -> None:
    """Lock an open file until it is closed.

    Args:
        file: the file.
        exclusive: whether no other process may have any lock on it, rather than no exclusive lock.

    A failure to lock a file for reading is ignored, since the file can still be read.

    Raises:
        BlockingIOError: another process has such a lock.
        OSError: a lock for writing fails although the file system has locks.
    """
    if os.environ.get(_SETTING, "").upper() in ("FALSE", "0"):
        return
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if exclusive and error.errno not in _WITHOUT_LOCKS:
            raise


def try_lock(handle: int) -> bool | None:
    """Try to lock an open file for writing.

    Args:
        handle: of the file.

    Returns:
        Whether it is locked now; None where there are no locks.
    """
    if os.environ.get(_SETTING, "").upper() in ("FALSE", "0"):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
