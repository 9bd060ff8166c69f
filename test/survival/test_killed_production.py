"""A production on local dask workers whose own process is killed: no orphans, nothing half-written, and it goes on.

``MLRECO_KILLS`` turns it on, as the other tests of this folder; workers are killed at random on the way, too.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlreco.checkpoints import write_checkpoint
from mlreco.iotools import HDF5Reader
from mlreco.models.chain import Chain
from mlreco.production import read_manifest

pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.skipif(not os.environ.get("MLRECO_KILLS"), reason="MLRECO_KILLS is not set")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "test/production"))
FILES, TRUNCATED = 20, 7
ENDS_IN, SECONDS = 8, 30.0


def command(folder):
    from production_samples import TINY

    settings = [word for setting in TINY for word in ("--set", setting)]
    places = ["-s", f"{folder}/in/*.h5", "--out-dir", f"{folder}/out", "--weights", f"{folder}/w.ckpt"]
    chain = ["inference", str(ROOT / "config/chain.cfg")]
    return [sys.executable, "-m", "mlreco", *chain, *places, "--dask", "local:2", *settings]


def prepare(folder):
    """Write the events, one file truncated, and weights; return the ids of the events that can be read."""
    from production_samples import tiny_config, write_events

    paths = [write_events(folder / f"in/{n:02d}.h5", 3 + n % 3, run=n, voxels=1000) for n in range(FILES)]
    paths[TRUNCATED].write_bytes(paths[TRUNCATED].read_bytes()[:-1000])
    state = Chain.from_config(tiny_config([paths[0]])["model"]).state_dict()
    write_checkpoint(folder / "w.ckpt", {"state_dict": state})
    return [(n, 0, number) for n in range(FILES) if n != TRUNCATED for number in range(3 + n % 3)]


def is_worker(process):
    try:
        return "multiprocessing.spawn" in " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return False


def is_running(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_production_that_is_killed_leaves_no_orphans_and_goes_on(tmp_path, end):
    wanted, out, rng = prepare(tmp_path), tmp_path / "out", random.Random(int(end))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command(tmp_path), env=environment, stderr=subprocess.PIPE, text=True)
    family, killed = {}, 0
    while len(list(out.glob("[0-9]*.h5"))) < ENDS_IN:
        assert first.poll() is None, first.stderr.read()
        children = psutil.Process(first.pid).children(recursive=True)
        family |= {child.pid: child for child in children}
        workers = [child for child in children if is_worker(child)]
        if workers and killed < 2 and len(list(out.glob("[0-9]*.h5"))) >= 2 + 3 * killed:
            rng.choice(workers).kill()
            killed += 1
        time.sleep(0.1)
    first.send_signal(end)
    assert first.wait(timeout=120) == (-end if end == signal.SIGKILL else 128 + end)
    deadline = time.monotonic() + SECONDS
    while any(map(is_running, family.values())) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert [one for one in family.values() if is_running(one)] == []
    before = {path: path.stat().st_mtime_ns for path in out.glob("[0-9]*.h5")}

    second = subprocess.run(command(tmp_path), env=environment, capture_output=True, text=True, check=False)
    assert second.returncode == 2 and f"{TRUNCATED:02d}.h5: the file is truncated" in second.stderr, second.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    manifest, found = read_manifest(out / "manifest.json"), []
    assert manifest.finished and [one.kind for one in manifest.failed] == ["damaged"]
    for path in out.glob("[0-9]*.h5"):
        with HDF5Reader(path) as reader:
            found += [tuple(event["event_id"][0].tolist()) for event in reader]
    assert sorted(found) == wanted
    others = sorted(path.name for path in out.iterdir() if path not in set(out.glob("[0-9]*.h5")))
    assert others == ["manifest.csv", "manifest.json", "production.json"]
