"""A disk that becomes full while processes train together: one line, nothing half-written, and it goes on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kills import ROOT, words_of

SCRIPT = """
mount -t tmpfs -o size=6m none {disk} && head -c 5500k /dev/zero > {disk}/ballast
{train} 2> {said}/first; echo $?
ls -A {disk}/weights
rm {disk}/ballast
{train} 2> {said}/second; echo $?
ls -A {disk}/weights
"""
PRIVATE = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount(folder):
    if not os.environ.get("MLRECO_KILLS") or shutil.which("unshare") is None:
        return False
    words = [*PRIVATE, "mount", "-t", "tmpfs", "none", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_full_disk_ends_all_and_the_training_goes_on_later(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("MLRECO_KILLS is not set, or no file system can be mounted here")
    words = [*words_of(disk, "plain"), "--set", "trainval.keep_last=null", "--set", f"trainval.log_dir={tmp_path}/log"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29611"]
    train = " ".join(f"'{word}'" for word in [*launcher, "-m", "mlreco", "train", *words])
    script = SCRIPT.format(disk=disk, said=tmp_path, train=train)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [*PRIVATE, "sh", "-c", script], capture_output=True, text=True, env=environment, check=False, cwd=Path(tmp_path)
    )
    first, second = ((tmp_path / name).read_text() for name in ("first", "second"))
    lines = ended.stdout.splitlines()
    done = [line for line in lines if not line.startswith("last checkpoint")]
    statuses = [line for line in done if line.isdigit()]
    assert statuses == ["1", "0"], (ended.stdout, ended.stderr, first, second)
    told = [line for line in first.splitlines() if "mlreco: error" in line]
    assert sum("the disk is full" in line for line in told) == 1 and "mlreco/training" not in first
    written = done[1 : done.index("0")]
    assert written and all(name.startswith("snapshot-") for name in written), written
    assert "snapshot-10.ckpt" in done[done.index("0") :]
