"""What ends a training: signals, killed workers, numbers that are none, other trainings, damaged checkpoints."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_training import ROOT, TINY, rows, states_equal, tiny_config

from mlreco.checkpoints import read_checkpoint
from mlreco.errors import UserError
from mlreco.interrupt import ENDING, SAVED, Interruption, Stopped, ending_on_signals
from mlreco.iotools import HDF5Reader, LArCVDataset, loader_factory
from mlreco.iotools.handover import _Piped
from mlreco.iotools.workers import POLL, WaitEnded
from mlreco.leftovers import unfinished_file
from mlreco.models.finite import not_finite
from mlreco.training import train
from mlreco.training.prefix import checkpoints, reserved
from mlreco.visualization import write_event_display


@contextlib.contextmanager
def running(folder, *overrides):
    """A training in a process group of its own that has done a few iterations; it is killed at the end."""
    settings = [*TINY, f"trainval.weight_prefix={folder}/w/snapshot", f"trainval.log_dir={folder}/log", *overrides]
    command = [
        sys.executable,
        str(ROOT / "bin/run.py"),
        "train",
        str(ROOT / "config/spice.cfg"),
        "-s",
        str(ROOT / "config/sample/thin_sample.h5"),
        "--iterations",
        "9999",
    ]
    command += [word for setting in settings for word in ("--set", setting)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = folder / "log/train_log-0000000.csv"
    try:
        deadline = time.monotonic() + 120
        while not (log.exists() and len(log.read_text().splitlines()) > 2):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def children(process):
    return [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def by_hand(process):
    process.send_signal(signal.SIGINT)


def to_the_group_twice(process):
    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGTERM)


def warning(process):
    process.send_signal(signal.SIGUSR1)


def the_terminal_is_closed(process):
    os.killpg(process.pid, signal.SIGHUP)


def kill_a_worker(process):
    os.kill(children(process)[0], signal.SIGKILL)


@pytest.mark.parametrize(
    ("end", "workers", "status", "said"),
    [
        (by_hand, 0, 130, "interrupted: saved"),
        (to_the_group_twice, 1, SAVED, "interrupted: saved"),
        (warning, 0, SAVED, "interrupted: saved"),
        (the_terminal_is_closed, 1, SAVED, "interrupted: saved"),
        (kill_a_worker, 1, 2, "a process that reads events was killed; .* GB of memory and .* of shared memory"),
    ],
)
def test_what_ends_a_training_saves_it(tmp_path, end, workers, status, said):
    with running(tmp_path, f"iotool.num_workers={workers}") as process:
        end(process)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert (tmp_path / "w").exists() and checkpoints(f"{tmp_path}/w/snapshot"), errors
    (iteration, saved), *_ = checkpoints(f"{tmp_path}/w/snapshot")
    assert str(saved) in errors and iteration == len(rows(tmp_path / "log/train_log-0000000.csv"))
    assert re.search(said, errors), errors
    assert not list((tmp_path / "w").glob("*.lock"))
    assert (tmp_path / "w/snapshot.interrupted").exists() == (status == SAVED)
    config = tiny_config(
        tmp_path, f"trainval.iterations={iteration + 1}", f"trainval.weight_prefix={tmp_path}/w/snapshot"
    )
    assert train(config, resume="latest").name == f"snapshot-{iteration + 1}.ckpt"
    assert not (tmp_path / "w/snapshot.interrupted").exists()


def test_only_a_second_ctrl_c_interrupts_at_once():
    before = {number: signal.getsignal(number) for number in ENDING}
    with Interruption() as interruption:
        for number in (signal.SIGTERM, *ENDING):
            signal.raise_signal(number)
        assert interruption.requested and isinstance(interruption.stop(""), Stopped)
        signal.raise_signal(signal.SIGINT)
        assert not isinstance(interruption.stop(""), Stopped)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert before == {number: signal.getsignal(number) for number in before}


@pytest.mark.parametrize("process_ends", [False, True])
def test_signals_mean_again_what_they_did_unless_the_process_ends(process_ends):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}
    try:
        with ending_on_signals(process_ends), Interruption():
            signal.raise_signal(signal.SIGTERM)
        after = {number: signal.getsignal(number) for number in before}
        ignored = dict.fromkeys(ENDING, signal.SIG_IGN) if process_ends else {}
        assert after == before | ignored
        with ending_on_signals(process_ends), Interruption():
            pass
        assert after == {number: signal.getsignal(number) for number in before}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_program_that_trains_ends_on_the_sigterm_after_that_which_saved(tmp_path):
    script = (
        "import os, signal, sys, time\n"
        "from mlreco.cli import entry\n"
        "from mlreco.interrupt import Interruption, Stopped\n"
        "def run_command(words):\n"
        "    with Interruption() as interruption:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    raise interruption.stop('saved')\n"
        "entry.run_command = run_command\n"
        "status = entry.main(*([] if sys.argv[1:] else [[]]))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(5)\n"
        "sys.exit(status)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words, status in (([], -signal.SIGTERM), (["own"], SAVED)):
        ended = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, env=environment)
        assert (ended.returncode, ended.stderr) == (status, "mlreco: interrupted: saved\n")


def test_a_wait_for_workers_can_be_ended(tmp_path, monkeypatch):
    fetch = LArCVDataset.fetch
    monkeypatch.setattr(LArCVDataset, "fetch", lambda *arguments: time.sleep(1.5 * POLL) or fetch(*arguments))
    config = tiny_config(tmp_path, "iotool.num_workers=1")
    with loader_factory(config["iotool"], train=True) as loader, pytest.raises(WaitEnded):
        next(loader.steps(lambda: True))


def test_batches_come_through_a_pipe_where_shared_memory_is_full(tmp_path, monkeypatch):
    config = tiny_config(tmp_path)
    with loader_factory(config["iotool"], train=True, seed=1) as loader:
        expected = [next(loader.steps())[0] for _ in range(2)]

    def full(tensor):
        raise RuntimeError("unable to allocate shared memory(shm)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    arrived = []
    unpacked = _Piped.unpacked
    monkeypatch.setattr(_Piped, "unpacked", lambda piped: arrived.append(piped) or unpacked(piped))
    iotool = {**config["iotool"].to_dict(), "num_workers": 1}
    with loader_factory(iotool, train=True, seed=1) as loader:
        steps = loader.steps()
        for batch in expected:
            (found,) = next(steps)
            for key in ("input_data", "cluster_label"):
                assert torch.equal(found[key].features, batch[key].features)
                assert torch.equal(found[key].coordinates, batch[key].coordinates)
    assert arrived


def test_a_loss_that_is_no_number_stops_with_the_last_good_weights_and_the_batch(tmp_path):
    with pytest.raises(
        UserError, match=r"the loss is (nan|inf) in iteration \d+ \(.*thin_sample.h5: event \d+"
    ) as caught:
        train(tiny_config(tmp_path, "trainval.iterations=30", "trainval.optimizer={name: SGD, args: {lr: 1e30}}"))
    (batch,) = (tmp_path / "weights").glob("snapshot-*-diverged.h5")
    number = int(batch.name.split("-")[1])
    assert str(batch) in str(caught.value)
    for _, path in checkpoints(f"{tmp_path}/weights/snapshot"):
        assert not_finite(read_checkpoint(path)["state_dict"]) is None
    config = tiny_config(tmp_path)
    with loader_factory(config["iotool"], train=True) as loader:
        steps = loader.steps()
        (expected,) = [next(steps) for _ in range(number)][-1]
    with HDF5Reader(batch) as reader:
        assert len(reader) == 2
        assert reader[0]["event_id"][0].tolist() == expected["event_id"][0].tolist()
        assert len(reader[0]["energies"]) == expected["input_data"].counts[0]
        assert {"semantics_true", "instances_true"} <= set(reader.products)
        write_event_display(reader, 1, tmp_path / "event.html")


def test_statistics_that_overflow_stop_the_training_and_are_taken_back(tmp_path, monkeypatch):
    from mlreco.training import learner

    calls = []

    def third_overflows(tensors):
        calls.append(1)
        if len(calls) == 3:
            for tensor in tensors.values():
                tensor.fill_(torch.inf) if tensor.is_floating_point() else None
        return not_finite(tensors)

    monkeypatch.setattr(learner, "not_finite", third_overflows)
    with pytest.raises(
        UserError, match=r"running statistics 'stages.spice.*' are no numbers in iteration 3.*saved .*snap"
    ):
        train(tiny_config(tmp_path / "a", "trainval.iterations=4"))
    monkeypatch.setattr(learner, "not_finite", not_finite)
    expected = read_checkpoint(train(tiny_config(tmp_path / "b", "trainval.iterations=2")))
    found = read_checkpoint(tmp_path / "a/weights/snapshot-2.ckpt")
    for part in ("optimizer", "random", "batches"):
        assert states_equal(found[part], expected[part]), part
    for name, value in expected["state_dict"].items():
        if "tracked" not in name:
            assert torch.equal(found["state_dict"][name], value), name


def test_two_trainings_do_not_share_a_prefix(tmp_path):
    config = tiny_config(tmp_path, "trainval.iterations=1")
    with reserved(config.trainval.weight_prefix):
        with pytest.raises(UserError, match=rf"another training \(process {os.getpid()} on .*\) writes checkpoints"):
            train(config)
        train(tiny_config(tmp_path, "trainval.iterations=1", f"trainval.weight_prefix={tmp_path}/weights/other"))
    train(config)


def test_leftovers_of_a_killed_training_are_removed(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    left = [unfinished_file(folder / name) for name in ("snapshot-7.ckpt", "snapshot-best.ckpt", "other-7.ckpt")]
    for handle, _ in left:
        os.close(handle)
    at_work, kept = unfinished_file(folder / "snapshot-8.ckpt")
    for name in (".snapshot-7.ckpt.ab12cd_8.ckpt", ".snapshot-7.ckpt"):  # the first of an older version
        (folder / name).write_bytes(b"half")
    train(tiny_config(tmp_path, "trainval.iterations=1"))
    os.close(at_work)
    expected = {left[-1][1].name, kept.name, ".snapshot-7.ckpt", "snapshot-1.ckpt"}
    assert {path.name for path in folder.iterdir()} == expected


def test_resuming_passes_over_damaged_checkpoints_and_says_so(tmp_path, capsys):
    options = ["trainval.checkpoint_step=1"]
    last = train(tiny_config(tmp_path, "trainval.iterations=3", *options))
    expected = read_checkpoint(last)
    damaged = bytearray(last.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    last.write_bytes(damaged)
    (tmp_path / "weights/snapshot-2.ckpt").write_bytes(b"")
    assert train(tiny_config(tmp_path, "trainval.iterations=3", *options), resume="latest") == last
    found = read_checkpoint(last)
    for part in ("state_dict", "optimizer", "random"):
        assert states_equal(found[part], expected[part]), part
    said = capsys.readouterr().err
    assert "passed over" in said and "snapshot-3.ckpt: damaged" in said and "snapshot-2.ckpt: not a checkpoint" in said
    for _, path in checkpoints(f"{tmp_path}/weights/snapshot"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the 3 checkpoints"):
        train(tiny_config(tmp_path, "trainval.iterations=4", *options), resume="latest")
