"""Conversions that end too early continue where they stopped, and nobody can tell from the result."""

import errno
import fcntl
import multiprocessing
import os
import resource
import signal

import h5py
import numpy as np
import pytest
from io_samples import write_events

from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.iotools import conversion, hdf5file, partial
from mlreco.iotools.conversion import convert
from mlreco.iotools.larcv3 import writer as writer_module
from mlreco.iotools.undo_log import UndoLog, roll_back

FORK = multiprocessing.get_context("fork")
COUNTS = (30, 0, 7, 41, 12, 1, 25, 18, 3, 33)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Two files; buffers are small and every flush is kept, so that there is much to interrupt."""
    monkeypatch.setattr(writer_module, "_BUFFERED_ROWS", 100)
    monkeypatch.setattr(writer_module, "CHUNK_ROWS", 32)
    # what waiting for the disk protects against, the end of the machine, is not tried here
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(partial, "_SECONDS_BETWEEN_STATES", 0.0)
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for number, path in enumerate(paths):
        write_events(path, COUNTS, seed=number, run=number)
    return paths


def contents(path):
    """Everything in a file that its readers can see."""
    found = {}

    def visit(name, item):
        found[name] = dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            layout = (item.dtype.str, item.dtype.fields and sorted(item.dtype.fields), item.shape, item.chunks)
            found[name] = (found[name], layout, item.compression, item.shuffle, repr(item[()].tolist()))

    with h5py.File(path) as file:
        file.visititems(visit)
        return dict(file.attrs), found


def in_a_child(work):
    """Run something in a process of its own; return how it ended."""
    child = FORK.Process(target=work)
    child.start()
    child.join(60)
    assert child.exitcode is not None
    return child.exitcode


def killing(last, torn):
    """Return a `write` of sinks that ends the process at call number ``last``, before it or in its middle."""
    calls, write = 0, hdf5file.Sink.write

    def call(self, data):
        nonlocal calls
        calls += 1
        if calls == last:
            if torn:
                self._raw.write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(self, data)

    return call


@pytest.mark.parametrize("to", ["larcv3", "cache"])
def test_killed_at_any_write(tmp_path, sources, monkeypatch, to):
    convert(sources, tmp_path / "whole.h5", to)
    expected, out, continued = contents(tmp_path / "whole.h5"), tmp_path / "out.h5", []
    writes, write = 0, hdf5file.Sink.write

    def counting(self, data):
        nonlocal writes
        writes += 1
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(hdf5file.Sink, "write", counting)
        convert(sources, tmp_path / "counted.h5", to)
    rng = np.random.default_rng(1)
    for round_number in range(8):
        for last in rng.integers(1, writes, 2):
            with monkeypatch.context() as patch:
                patch.setattr(hdf5file.Sink, "write", killing(last, torn=bool(round_number % 2)))
                code = in_a_child(lambda: convert(sources, out, to))
            assert code in (0, -signal.SIGKILL)
            assert out.exists() == (code == 0)
        continued.append(convert(sources, out, to).continued)
        assert contents(out) == expected
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5", "counted.h5", "out.h5", "whole.h5"]
        out.unlink()
    assert len({number for number in continued if number}) > 2


def test_interrupted_by_the_user(tmp_path, sources, monkeypatch, capsys):
    convert(sources, tmp_path / "whole.h5")
    words = ["convert", *map(str, sources), "-o", str(tmp_path / "out.h5")]
    advance, done = conversion.Progress.advance, []

    def interrupting(self, *steps):
        done.append(1)
        if len(done) in (5, 12):
            signal.raise_signal(signal.SIGINT)
        return advance(self, *steps)

    monkeypatch.setattr(conversion.Progress, "advance", interrupting)
    for number in (5, 12):
        assert main(words) == 130
        told = f"mlreco: interrupted: {number} of 20 events are written; the same command continues\n"
        assert capsys.readouterr().err == told
        assert not (tmp_path / "out.h5").exists()
    assert main(words) == 0
    assert len(done) == 20 and "continued after 12 events" in capsys.readouterr().err
    assert contents(tmp_path / "out.h5") == contents(tmp_path / "whole.h5")
    assert not partial.partial_folder(tmp_path / "out.h5").exists()


def test_a_full_disk(tmp_path, sources, capsys):
    convert(sources, tmp_path / "whole.h5", "cache")
    out, limit = tmp_path / "out.h5", (tmp_path / "whole.h5").stat().st_size * 9 // 10
    words = ["convert", *map(str, sources), "-o", str(out), "--to", "cache"]

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        os._exit(main(words))

    assert in_a_child(limited) == 2
    assert not out.exists() and (partial.partial_folder(out) / "state.json").exists()
    assert main(words) == 0
    assert contents(out) == contents(tmp_path / "whole.h5")


def beginning(sources, out):
    """Leave the beginning of a conversion."""
    write, events = partial.PartialHDF5.check, []

    def check(self, keep=False):
        write(self, keep)
        events.append(1)
        if len(events) == 3:
            os._exit(3)

    def work():
        partial.PartialHDF5.check = check
        convert(sources, out)

    assert in_a_child(work) == 3
    assert (partial.partial_folder(out) / "state.json").exists()


def test_the_beginning_of_something_else(tmp_path, sources, capsys):
    out, (a, b) = tmp_path / "out.h5", sources
    beginning(sources, out)
    for given, options, message in (
        ([a], {}, r"out\.h5\.part: is the beginning of another conversion: source_files was .*; repeat that command"),
        ([b, a], {}, "source_files was"),
        (sources, {"to": "cache"}, "to was larcv3 and is cache now"),
        (sources, {"products": ["sparse3d_pcluster"]}, "products: there were 4 and there are 1 now"),
    ):
        with pytest.raises(UserError, match=message):
            convert(given, out, **options)
    assert main(["convert", str(a), "-o", str(out)]) == 2
    assert "or give --restart to begin anew" in capsys.readouterr().err
    os.utime(b, ns=(1, 1))
    with pytest.raises(UserError, match=r"b\.h5 was changed since"):
        convert(sources, out)
    assert convert(sources, out, restart=True).continued == 0
    convert(sources, tmp_path / "whole.h5")
    assert contents(out) == contents(tmp_path / "whole.h5")


def test_leftovers_of_other_writers_of_the_name_are_removed(tmp_path, sources):
    for name in (".out.h5.abcd1234.unfinished.h5", ".out.h5.abcd1234.h5", ".other.h5.abcd1234.unfinished.h5"):
        (tmp_path / name).write_bytes(b"half")
    convert(sources, tmp_path / "out.h5")
    assert {path.name for path in tmp_path.iterdir()} - {"a.h5", "b.h5"} == {
        "out.h5",
        ".other.h5.abcd1234.unfinished.h5",
    }


def test_two_at_once(tmp_path, sources):
    out = tmp_path / "out.h5"
    beginning(sources, out)
    with (
        partial._locked(partial.partial_folder(out), out),
        pytest.raises(UserError, match=r"out\.h5: another process is making this file"),
    ):
        convert(sources, out)
    assert convert(sources, out).continued > 0


@pytest.mark.parametrize(("number", "refused"), [(errno.ENOSYS, False), (errno.ENOLCK, False), (errno.EIO, True)])
def test_file_systems_without_locks(tmp_path, sources, monkeypatch, number, refused):
    def flock(file, operation):
        raise OSError(number, "input or output failed")

    monkeypatch.setattr(fcntl, "flock", flock)
    if refused:
        with pytest.raises(UserError, match="input or output failed"):
            convert(sources, tmp_path / "out.h5")
    else:
        assert convert(sources, tmp_path / "out.h5").events == 20
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    assert convert(sources, tmp_path / "out.h5").events == 20


def test_rolling_back_is_exact_and_may_be_repeated(tmp_path):
    path, rng = tmp_path / "file", np.random.default_rng(0)
    before = rng.bytes(1000)
    path.write_bytes(before)
    log = UndoLog(tmp_path / "undo")
    with open(path, "r+b", buffering=0) as file:
        for _ in range(50):
            first = int(rng.integers(0, 990))
            size = int(rng.integers(1, 1000 - first))
            log.keep(first, os.pread(file.fileno(), size, first))
            os.pwrite(file.fileno(), rng.bytes(size), first)
        file.seek(0, os.SEEK_END)
        file.write(b"appended")
    log.close()
    records = log.path.read_bytes()
    for kept in (records, records + records[:30]):
        log.path.write_bytes(kept)
        roll_back(path, log.path, 1000)
        assert path.read_bytes() == before and not log.path.exists()


def test_there_is_no_state_where_nothing_was_kept(tmp_path, sources, monkeypatch):
    monkeypatch.setattr(partial, "_SECONDS_BETWEEN_STATES", 1e9)
    with h5py.File(sources[1], "a") as file:
        file["Data/sparse3d_pcluster_group/voxels"][5] = (10**6, 1.0)
    with pytest.raises(UserError, match=r"b\.h5: event 0"):
        convert(sources, tmp_path / "out.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]
