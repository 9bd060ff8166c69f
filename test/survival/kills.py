"""Kill trainings and go on with them: ``python kills.py FOLDER alone|together KILLS FIRST_SEED``.

A training is killed (SIGKILL, and SIGTERM now and then) at moments that are drawn at random, and gone on with, until it
has come to its end; then its checkpoint, log and validations are compared with those of a training without a break.
Trainings follow one another until there were enough kills. Prints what was done and what was wrong as JSON, in the last
line.
"""

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "config/sample/thin_sample.h5"
ITERATIONS = 10
TINY = (
    "iotool.batch_size=3",
    "iotool.minibatch_size=2",
    "iotool.num_workers=0",
    "iotool.augment={flip: true, charge_jitter: [[2, 0.0], [6, 0.2]]}",
    "model.modules.spice.filters=2",
    "model.modules.spice.depth=2",
    "model.modules.spice.reps=1",
    "trainval.report_step=1",
    f"trainval.iterations={ITERATIONS}",
    "trainval.ema=0.9",
    "trainval.lr_scheduler={name: OneCycleLR, args: {max_lr: 0.01}}",
)
MIXED = (
    "iotool.dataset.data_keys=null",
    "iotool.dataset.sources={a: {data_keys: [A], weight: [[0, 1], [9, 3]]}, b: {data_keys: [B], weight: 2}}",
    "iotool.dataset.max_voxels=[[0, 700], [8, 9000]]",
)
KINDS = {
    "plain": ("trainval.checkpoint_step=1", "trainval.keep_last=2"),
    "workers": ("iotool.num_workers=1", "trainval.checkpoint_step=3"),
    "validated": (
        f"trainval.validation={{data_keys: [{SAMPLE}], step: 3, events: 3}}",
        "trainval.checkpoint_step=2",
    ),
    "beside": (
        f"trainval.validation={{data_keys: [{SAMPLE}], step: 3, events: 3, background: true}}",
        "trainval.checkpoint_step=2",
    ),
    "mixed": (*MIXED, "trainval.checkpoint_step=2"),
    "plateau": (
        *MIXED,
        f"trainval.validation={{data_keys: [{SAMPLE}], step: 2, events: 3}}",
        "trainval.lr_scheduler={name: ReduceLROnPlateau, args: {patience: 0, factor: 0.5}}",
        "trainval.warmup=3",
        "trainval.checkpoint_step=3",
        "trainval.keep_last=1",
    ),
    "patience": (
        *MIXED,
        f"trainval.validation={{data_keys: [{SAMPLE}], step: 2, events: 3, background: true}}",
        "trainval.best=ari_all",
        "trainval.patience=1",
        "trainval.checkpoint_step=2",
        "iotool.num_workers=1",
    ),
}
MOST = 6
"""Kills of one training."""
ORPHANED = 120.0
"""Seconds in which processes end whose launcher was killed."""
WITH_NOTICE = 0.25
"""Share of kills that are a SIGTERM, after which a training saves."""
SAME = ("state_dict", "trained_state_dict", "optimizer", "scheduler", "random", "iteration", "epoch", "batches")
TIMES = ("titer", "tsum", "tio", "tforward", "tbackward", "events_per_s", "waiting", "memory_gb")


def words_of(folder, kind):
    """Return the words of a training after ``mlreco train``."""
    places = (f"trainval.weight_prefix={folder}/weights/snapshot", f"trainval.log_dir={folder}/log")
    more = [one.replace("[A]", f"[{folder}/../a.h5]").replace("[B]", f"[{folder}/../b.h5]") for one in KINDS[kind]]
    events = [] if set(MIXED) <= set(KINDS[kind]) else ["-s", str(SAMPLE)]
    settings = [word for setting in (*TINY, *places, *more) for word in ("--set", setting)]
    return [str(ROOT / "config/spice.cfg"), "--resume-or-start", *events, *settings]


def start_alone(folder, kind):
    """Start a training as a fork of this process, which has imported everything, in a group of its own."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        log = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        from mlreco.cli import main

        status = main(["train", *words_of(folder, kind)])
        sys.stderr.flush()
    finally:
        os._exit(status)


def start_together(folder, kind):
    """Start a training of two processes with torch's launcher, in a group of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    command = [*launcher, "-m", "mlreco", "train", *words_of(folder, kind)]
    with open(folder / "said.txt", "ab") as said:
        return subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True, cwd=ROOT).pid


def wait(child, enough=None):
    """Wait for a process, or until there is enough of it; return its status, None where it still runs."""
    while True:
        pid, status = os.waitpid(child, 0 if enough is None else os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if enough():
            return None
        time.sleep(0.002)


def a_moment(folder, rng):
    """Return what tells when a training is to be killed: while it starts, or some iterations on and a little later."""
    begun, further, later = time.monotonic(), rng.randrange(4), rng.uniform(0.0, 0.5)
    rows = len(table(folder, "train_log"))

    def is_now():
        nonlocal begun
        if further and len(table(folder, "train_log")) < rows + further:
            begun = time.monotonic()
        return time.monotonic() > begun + later * (1 if further else 6)

    return is_now


def kill(child, one_of_them, rng):
    """End a training: with notice, all of its processes, or one of those that train together."""
    if rng.random() < WITH_NOTICE:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGTERM)
        wait(child)
        return
    if one_of_them:
        found = children_of(child)
        if found:
            os.kill(rng.choice(found), signal.SIGKILL)
            wait(child)
            return
    started = children_of(child)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    wait(child)
    if rng.random() < 0.5:  # else the launcher alone was killed, which sees to the others
        for other in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
    deadline = time.monotonic() + ORPHANED
    while any(map(is_running, started)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {started} go on though their launcher was killed")
        time.sleep(0.05)


def children_of(process):
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def table(folder, name):
    """Return the rows of the newest log of a name, without what depends on the clock.

    A training that is killed before its first checkpoint leaves its log, and is begun anew with another.
    """
    files = sorted((folder / "log").glob(f"{name}-*.csv"), key=lambda path: path.stat().st_mtime_ns)
    if not files:
        return []
    with open(files[-1], newline="") as opened:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(opened)]


def same(first, second):
    """Tell whether two nested states are equal to the bit."""
    import torch

    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def last_iteration(folder):
    """Return where a training has ended, which may be before all iterations are done."""
    return max(int(path.stem.rpartition("-")[2]) for path in (folder / "weights").glob("snapshot-*[0-9].ckpt"))


def differences(found, expected):
    """Return what of a training is not as it is without a break."""
    from mlreco.checkpoints import read_checkpoint

    wrong, end = [], last_iteration(expected)
    for name in (f"snapshot-{end}.ckpt", "snapshot-best.ckpt"):
        paths = [folder / "weights" / name for folder in (found, expected)]
        if [path.exists() for path in paths] == [False, False]:
            continue
        ours, theirs = (read_checkpoint(path) for path in paths)
        keys = SAME if "best" not in name else ("state_dict", "optimizer", "iteration")
        wrong += [f"{name}: {key}" for key in keys if not same(ours.get(key), theirs.get(key))]
    for name in ("train_log", "validation_log"):
        if table(found, name) != table(expected, name):
            wrong.append(f"{name}: {[row['iter'] for row in table(found, name)]}")
    iterations = [row["iter"] for row in table(found, "train_log")]
    if iterations != [str(number + 1) for number in range(end)]:
        wrong.append(f"iterations {iterations}")
    left = [path.name for path in (found / "weights").iterdir() if path.name.startswith(".") or path.suffix == ".lock"]
    return wrong + [f"left: {name}" for name in left]


def train_with_kills(start, folder, kind, rng, most, together):
    """Return how often a training was killed before its end; raises where it ends in another way."""
    kills = 0
    while True:
        child = start(folder, kind)
        status = wait(child, a_moment(folder, rng) if kills < most else None)
        if status is not None:
            if status:
                raise RuntimeError(f"status {status}: {(folder / 'said.txt').read_text()[-2000:]}")
            return kills
        kill(child, together and rng.random() < 0.5, rng)
        kills += 1


def main():
    folder, how, wanted, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    start = {"alone": start_alone, "together": start_together}[how]
    for name in ("a.h5", "b.h5"):
        shutil.copy(SAMPLE, folder / name)
    if how == "alone":
        import mlreco.cli
        import mlreco.training
        import mlreco.visualization  # noqa: F401
    references, faults, kills, trainings = {}, [], 0, 0
    kinds = list(KINDS)
    while kills < wanted:
        rng = random.Random(seed + trainings)
        kind = kinds[(seed + trainings) % len(kinds)]
        if kind not in references:
            whole = folder / f"whole-{kind}"
            whole.mkdir()
            status = wait(start(whole, kind))
            if status:
                raise RuntimeError(f"status {status}: {(whole / 'said.txt').read_text()[-2000:]}")
            references[kind] = whole
        whole = references[kind]
        parts = folder / f"parts-{trainings}"
        parts.mkdir()
        killed = train_with_kills(start, parts, kind, rng, min(MOST, wanted - kills), how == "together")
        wrong = differences(parts, whole)
        faults += [f"{kind}, seed {seed + trainings}: {one}" for one in wrong]
        kills, trainings = kills + killed, trainings + 1
        sys.stderr.write(f"{kind}: {killed} kills, {kills} of {wanted}; {len(faults)} faults\n")
        if not wrong:
            shutil.rmtree(parts)
    sys.stdout.write(json.dumps({"kills": kills, "trainings": trainings, "faults": faults}) + "\n")


if __name__ == "__main__":
    main()
