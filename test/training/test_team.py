"""Several processes that train together: the same numbers as one, saved and ended together."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import h5py
import pytest
import torch
from test_training import ROOT, TINY, rows, tiny_config

from mlreco.checkpoints import read_checkpoint, read_metadata
from mlreco.models.chain import Chain
from mlreco.training import train
from mlreco.training.prefix import checkpoints

SAMPLE = ROOT / "config/sample/thin_sample.h5"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def command(folder, *overrides, resume=False, source=SAMPLE):
    settings = [
        *TINY,
        f"trainval.weight_prefix={folder}/weights/snapshot",
        f"trainval.log_dir={folder}/log",
        *overrides,
    ]
    words = ["-m", "mlreco", "train", str(ROOT / "config/spice.cfg"), "-s", str(source)]
    words += ["--resume"] if resume else []
    return words + [word for setting in settings for word in ("--set", setting)]


def torchrun(folder, *overrides, **options):
    """Start some processes with torch's launcher, in a process group of their own."""
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *launcher, *command(folder, *overrides, **options)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def alone(folder, rank, *overrides, port, minutes="0.5"):
    """Start one process of two by hand."""
    place = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "MLRECO_TEAM_MINUTES": minutes}
    environment = {**os.environ, **place, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, *command(folder, *overrides)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)


@contextlib.contextmanager
def ended_at_last(process):
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def finished(process, status=0):
    with ended_at_last(process):
        errors = process.communicate(timeout=500)[1]
    assert process.returncode == status, errors
    return errors


def norms(config):
    chain = Chain.from_config(config["model"])
    return [name for name, module in chain.stages.named_modules() if isinstance(module, torch.nn.BatchNorm1d)]


def test_processes_are_ended_together_go_on_exactly_and_train_as_one_would(tmp_path):
    frozen = f"trainval.freeze=[{', '.join(norms(tiny_config(tmp_path)))}]"  # their statistics are those of a process
    options = ["iotool.batch_size=5", "trainval.ema=0.9", "trainval.checkpoint_step=1000", frozen]
    in_parts = [*options, "iotool.minibatch_size=2"]
    log = tmp_path / "parts/log/train_log-0000000.csv"
    with ended_at_last(torchrun(tmp_path / "parts", *in_parts, "trainval.iterations=9999")) as process:
        deadline = time.monotonic() + 400
        while not (log.exists() and len(log.read_text().splitlines()) > 1):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)
        errors = process.communicate(timeout=300)[1]
    ((done, saved),) = checkpoints(f"{tmp_path}/parts/weights/snapshot")
    assert done == len(rows(log)) and f"saved {saved} after {done} iterations" in errors
    assert read_metadata(saved).history[-1].processes == 2
    assert (tmp_path / "parts/weights/snapshot.interrupted").read_text().startswith(f"saved {saved}")

    end = f"trainval.iterations={done + 2}"
    finished(torchrun(tmp_path / "parts", *in_parts, end, resume=True))
    finished(torchrun(tmp_path / "whole", *in_parts, end))
    train(tiny_config(tmp_path / "one", *options, end))
    parts, whole, one = (
        read_checkpoint(tmp_path / name / f"weights/snapshot-{done + 2}.ckpt") for name in ("parts", "whole", "one")
    )
    for part in ("state_dict", "trained_state_dict"):
        for name, value in one[part].items():
            assert torch.equal(parts[part][name], whole[part][name]), name
            torch.testing.assert_close(parts[part][name], value, rtol=1e-3, atol=1e-5, msg=name)
    logs = [rows(tmp_path / f"{name}/log/train_log-0000000.csv") for name in ("parts", "whole", "one")]
    assert len(logs[0]) == done + 2
    for ours, others, single in zip(*logs, strict=True):
        assert ours["loss"] == others["loss"]
        for name in ("loss", "spice_mask", "spice_accuracy", "spice_loss_Michel", "gradient_norm", "epoch"):
            assert float(ours[name]) == pytest.approx(float(single[name]), rel=1e-3, nan_ok=True), name


def test_processes_whose_launcher_is_killed_save_and_end(tmp_path):
    log = tmp_path / "log/train_log-0000000.csv"
    with ended_at_last(torchrun(tmp_path, "trainval.iterations=9999", "trainval.checkpoint_step=1000")) as process:
        deadline = time.monotonic() + 400
        while not (log.exists() and len(log.read_text().splitlines()) > 1):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        process.kill()
        said = process.communicate(timeout=300)[1]  # the others hold the pipe until they end
    ((done, saved),) = checkpoints(f"{tmp_path}/weights/snapshot")
    assert done == len(rows(log)) and said.count(f"saved {saved} after {done} iterations") == 2
    assert (tmp_path / "weights/snapshot.interrupted").exists()


def test_what_one_process_cannot_read_ends_all_with_its_message(tmp_path):
    events = tmp_path / "bad.h5"
    events.write_bytes(SAMPLE.read_bytes())
    with h5py.File(events, "r+") as file:
        extents = file["Data/sparse3d_pcluster_group/voxel_extents"][:]
        first, count = (int(extents[3][name]) for name in ("first", "N"))
        voxels = file["Data/sparse3d_pcluster_group/voxels"]
        changed = voxels[first : first + count]
        changed["value"][0] = -1
        voxels[first : first + count] = changed
    options = ["iotool.sampler={name: SequentialSampler}", "trainval.iterations=9"]
    errors = finished(torchrun(tmp_path, *options, source=events), status=1)
    assert errors.count("event 3: 'input_data': voxel") == 2 and "has the negative energy -1; saved" in errors
    ((done, _),) = checkpoints(f"{tmp_path}/weights/snapshot")
    assert done == 1


def test_processes_that_train_something_else_or_are_missing(tmp_path):
    port = free_port()
    pair = [
        alone(tmp_path, rank, "trainval.iterations=2", f"trainval.max_grad_norm={rank + 1}.0", port=port)
        for rank in (0, 1)
    ]
    for process in pair:
        errors = process.communicate(timeout=400)[1]
        assert process.returncode == 2 and re.search(
            r"process 1 trains with another settings.trainval.max_grad_norm than process 0 \(2.0, not 1.0\)", errors
        )
    single = alone(tmp_path, 1, "trainval.iterations=2", port=free_port(), minutes="0.05")
    errors = single.communicate(timeout=400)[1]
    assert single.returncode == 2 and re.search(r"process 1 of 2 cannot reach the others at 127.0.0.1:\d+", errors)
