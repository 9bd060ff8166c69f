"""What a command reads is not written over, nor is anything but a file; unfinished files of killed writers go."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlreco.atomic import atomic_path, write_text
from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.inputs import input_file, let_replace, noting_inputs, read_text, refuse_to_replace_inputs
from mlreco.interrupt import ENDING, Interruption, Terminated, ending_on_signals
from mlreco.iotools import expand_sources, open_reader
from mlreco.iotools.conversion import convert

GENUINE = Path(__file__).parent / "iotools" / "genuine" / "events.h5"


def test_what_was_read_is_not_replaced(tmp_path):
    path, link, hard = tmp_path / "a", tmp_path / "link", tmp_path / "hard"
    path.write_text("content")
    link.symlink_to(path)
    os.link(path, hard)
    with noting_inputs():
        assert read_text(path, 100) == "content"
        for name in (path, link, hard):
            with pytest.raises(UserError, match="is an input of this command"):
                write_text(name, "new")
        write_text(tmp_path / "other", "new")
        with noting_inputs(), pytest.raises(UserError, match="is an input of this command; do without"):
            refuse_to_replace_inputs(path, "do without")
        let_replace(hard)
        write_text(path, "newest")
    assert path.read_text() == "newest" and hard.read_text() == "content"


def test_outside_of_commands_a_file_may_be_read_and_replaced(tmp_path):
    path = tmp_path / "a"
    write_text(path, "one")
    read_text(path, 100)
    write_text(path, "two")
    assert path.read_text() == "two"


def others(folder):
    pipe, place, device = folder / "pipe", folder / "socket", Path("/dev/null")
    os.mkfifo(pipe)
    holder = socket.socket(socket.AF_UNIX)
    holder.bind(str(place))
    holder.close()
    return {"a named pipe": pipe, "a socket": place, "a device": device, "a folder": folder}


def test_only_files_are_replaced(tmp_path):
    for kind, path in others(tmp_path).items():
        with pytest.raises(UserError, match=f"cannot write .*: it is {kind}"):
            write_text(path, "x")
        with pytest.raises(UserError, match=f"cannot write .*: it is {kind}"):
            convert(GENUINE, path)
    assert Path("/dev/null").is_char_device()


def test_only_files_are_read(tmp_path):
    for kind, path in others(tmp_path).items():
        for read in (input_file, lambda name: read_text(name, 10), open_reader):
            with pytest.raises(UserError, match=f"{path}: is {kind}, not a file"):
                read(path)
    for path in (tmp_path / "no", tmp_path / "nul\0"):
        with pytest.raises(UserError):
            input_file(path)


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "far").mkdir()
    link, target = tmp_path / "link", tmp_path / "far" / "file"
    link.symlink_to(target)
    write_text(link, "one")
    write_text(link, "two")
    assert link.is_symlink() and target.read_text() == "two"


@pytest.mark.parametrize("words", [["info"], ["display"], ["convert"], ["inference"], ["evaluate"]])
def test_commands_do_not_wait_for_a_pipe(tmp_path, capsys, words):
    pipe = others(tmp_path)["a named pipe"]
    assert main([*words, str(pipe), *(["-o", str(tmp_path / "x.h5")] if words == ["convert"] else [])]) == 2
    assert "is a named pipe, not a file" in capsys.readouterr().err


WRITER = """
import sys, time
from pathlib import Path
from mlreco.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """A process that holds an unfinished file."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "o.h5")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_an_unfinished_file_goes_when_its_writer_is_gone(tmp_path, writer):
    path, old = tmp_path / "o.h5", tmp_path / ".o.h5.abcd1234.h5"
    old.write_text("of an older version")
    (tmp_path / ".p.h5.abcd1234.h5").write_text("of another name")
    write_text(path, "first")
    left = {file.name for file in tmp_path.iterdir()}
    assert len(left) == 3 and old.name not in left  # that of the writer at work stays
    writer.kill()
    writer.wait()
    write_text(path, "second")
    assert {file.name for file in tmp_path.iterdir()} == {"o.h5", ".p.h5.abcd1234.h5"}
    assert path.read_text() == "second"


def test_unfinished_files_are_no_data(tmp_path, writer):
    (tmp_path / "._a.h5").write_bytes(b"\0\5\26\7")
    with pytest.raises(UserError, match="the folder holds no"):
        expand_sources(tmp_path)
    (tmp_path / "a.h5").write_bytes(GENUINE.read_bytes())
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.h5\n")
    for source in (tmp_path, tmp_path / "*", tmp_path / "**", tmp_path / "list.txt"):
        assert expand_sources(source) == [tmp_path / "a.h5"]
    assert expand_sources(tmp_path / "*.txt") == [tmp_path / "a.h5"]


def test_where_there_are_no_locks_age_tells(tmp_path, monkeypatch):
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    path, young, old = tmp_path / "o.h5", tmp_path / ".o.h5.abcd1234.h5", tmp_path / ".o.h5.efgh1234.unfinished.h5"
    for file in (young, old):
        file.write_text("x")
    long_ago = time.time() - 2 * 86400
    os.utime(old, (long_ago, long_ago))
    write_text(path, "done")
    assert {file.name for file in tmp_path.iterdir()} == {"o.h5", young.name}


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_the_block_and_the_handler_comes_back(tmp_path, number):
    before = {one: signal.getsignal(one) for one in ENDING}
    with pytest.raises(Terminated) as ended, ending_on_signals(), atomic_path(tmp_path / "o.h5"):
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert ended.value.number == number
    assert before == {one: signal.getsignal(one) for one in ENDING}
    assert not list(tmp_path.iterdir())


def test_a_hangup_that_is_ignored_stays_so():
    """``nohup`` is to let a command go on when its terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_on_signals(), Interruption() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert not interruption.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_instead_of_the_signal_counts_as_the_signal():
    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            raise RuntimeError("a library's own words") from None

    with pytest.raises(Terminated), ending_on_signals():
        work()
    with pytest.raises(RuntimeError), ending_on_signals():
        raise RuntimeError


def test_sigterm_leaves_nothing_and_has_a_status(tmp_path):
    script = (
        "import os, signal, sys, time\n"
        "from mlreco.atomic import atomic_path\n"
        "from mlreco.cli import entry\n"
        "def work(words):\n"
        f"    with atomic_path({str(tmp_path / 'o.h5')!r}):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(10)\n"
        "entry.run_command = work\n"
        "sys.exit(entry.main([]))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 143 and ended.stderr == "mlreco: ended by SIGTERM\n"
    assert not list(tmp_path.iterdir())


def test_names_that_a_terminal_cannot_show(tmp_path):
    name = os.fsdecode(b"caf\xe9 \xce\xb1.h5")
    path = tmp_path / name
    path.write_bytes(GENUINE.read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", "import sys; from mlreco.cli import main; sys.exit(main())", "info", path]
    ended = subprocess.run(command, capture_output=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert b"LArCV3, 5 events" in ended.stdout
