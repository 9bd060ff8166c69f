"""Reading where another process writes, and where the file system has no locks."""

import errno
import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from io_samples import read_everything

from mlreco.errors import UserError
from mlreco.iotools import open_reader

GENUINE = Path(__file__).parent / "genuine" / "events.h5"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_read(number):
    expected = read_everything(GENUINE)
    script = (
        "import errno, fcntl, sys\n"
        f"def flock(file, operation): raise OSError({number}, 'no locks')\n"
        "fcntl.flock = flock\n"
        "import h5py\n"
        "real = h5py.File.__init__\n"
        "def refusing(self, *args, locking=None, **kwargs):\n"
        "    if locking is not False and isinstance(args[0], (str, __import__('os').PathLike)):\n"
        "        raise OSError('unable to lock file, errno = 37')\n"
        "    real(self, *args, **kwargs)\n"
        "h5py.File.__init__ = refusing\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from io_samples import read_everything\n"
        f"print(len(str(read_everything({str(GENUINE)!r}))))\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert int(told) == len(str(expected))


def test_a_file_that_is_being_written(tmp_path):
    path = tmp_path / "events.h5"
    shutil.copy(GENUINE, path)
    reader = open_reader(path)
    reader.close()
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for read in (lambda: open_reader(path), lambda: reader.sparse3d(0, "pcluster")):
            with pytest.raises(UserError, match=r"events\.h5: another process is writing this file"):
                read()
    assert read_everything(path) == read_everything(GENUINE)
