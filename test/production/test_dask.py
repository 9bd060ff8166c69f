"""A production on a dask cluster whose workers are killed: every good event is in one output, and once."""

import os
import random
import signal
import threading
import time

import pytest
from production_samples import tiny_config, write_events

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader
from mlreco.production import on_dask, produce, read_manifest, run
from mlreco.production.merge import merge

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
KILLS = 3


@pytest.fixture
def cluster():
    with on_dask._local_cluster(distributed, 2) as cluster:
        yield cluster


def kill_workers(cluster, folder, stop, killed):
    """Kill a worker at random whenever some more outputs have appeared."""
    rng = random.Random(1)
    while not stop.is_set() and len(killed) < KILLS:
        time.sleep(0.05)
        if len(list(folder.glob("*.h5"))) < 4 * len(killed) + 2:
            continue
        pids = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
        if pids:
            time.sleep(rng.random() * 0.3)
            killed.append(rng.choice(pids))
            os.kill(killed[-1], signal.SIGKILL)


@pytest.mark.timeout(600)
def test_every_good_event_is_in_one_output_though_workers_are_killed(tmp_path, weights, cluster, monkeypatch):
    monkeypatch.setattr(run, "_PAUSE", 0.1)
    sources = [write_events(tmp_path / f"in/{number:02d}.h5", 1 + number % 3, run=number) for number in range(20)]
    sources[7].write_bytes(sources[7].read_bytes()[:-1000])
    folder, stop, killed = tmp_path / "out", threading.Event(), []
    killer = threading.Thread(target=kill_workers, args=(cluster, folder, stop, killed))
    killer.start()
    try:
        manifest = produce(tiny_config(sources), folder, weights=weights, cluster=cluster.scheduler_address)
    finally:
        stop.set()
        killer.join()
    assert len(killed) == KILLS
    assert manifest.finished and [(one.place, one.kind) for one in manifest.failed] == [(7, "damaged")]
    found = []
    for one in manifest.done:
        with HDF5Reader(folder / one.output) as reader:
            found += [tuple(event["event_id"][0].tolist()) for event in reader]
    assert found == [(n, 0, i) for n in range(20) for i in range(1 + n % 3) if n != 7]
    assert manifest == read_manifest(folder / "manifest.json")
    merge(folder / "all.h5", [folder / "manifest.json"])
    with HDF5Reader(folder / "all.h5") as reader:
        assert [tuple(event["event_id"][0].tolist()) for event in reader] == found
    alone = produce(tiny_config([sources[3]]), tmp_path / "alone", weights=weights).done[0]
    with HDF5Reader(folder / "03.h5") as a, HDF5Reader(tmp_path / "alone" / alone.output) as b:
        for one, other in zip(a, b, strict=True):
            assert {name for name in one if one[name].tobytes() != other[name].tobytes()} <= {"times"}


def kill_the_worker(nanny):
    pid = nanny.pid
    os.kill(pid, signal.SIGKILL)
    return pid


def test_workers_that_die_while_they_start_are_replaced(tmp_path, files, weights, monkeypatch):
    monkeypatch.setattr(on_dask, "_LOOK", 0.2)
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "500ms"}),
        on_dask._local_cluster(distributed, 1) as cluster,
    ):
        (nanny,) = cluster.workers.values()
        killed = kill_the_worker(nanny)
        while nanny.pid in (killed, None):  # until there is another, which has not yet answered
            time.sleep(0.01)
        kill_the_worker(nanny)
        manifest = produce(tiny_config(files), tmp_path, weights=weights, cluster=cluster.scheduler_address)
    assert manifest.finished and manifest.events_out == 10


def test_processes_that_cannot_be_started_are_one_line(tmp_path, files, weights, monkeypatch):
    tries = []

    def fails(**options):
        tries.append(options)
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", fails)
    with pytest.raises(UserError, match=r"--dask local:3: the processes cannot be started \(Nanny failed to start"):
        produce(tiny_config(files), tmp_path / "out", weights=weights, cluster="local:3")
    assert len(tries) == on_dask._STARTS


def test_a_dead_scheduler_and_bad_addresses_are_one_line(tmp_path, files, weights, monkeypatch):
    monkeypatch.setattr(on_dask, "_SECONDS", 1)
    for address, said in (
        ("tcp://127.0.0.1:9", r"no dask scheduler answers at tcp://127\.0\.0\.1:9"),
        ("somewhere", r"--dask somewhere: expected the address"),
        ("local:0", r"--dask local:0: expected"),
    ):
        with pytest.raises(UserError, match=said):
            produce(tiny_config(files), tmp_path / "out", weights=weights, cluster=address)
    assert not list((tmp_path / "out").glob("*.h5"))
    assert len(read_manifest(tmp_path / "out/manifest.json").waiting) == 4


def test_a_worker_with_other_weights_is_refused(tmp_path, files, weights):
    order = on_dask.Order(tiny_config(files), weights, "0" * 64, tmp_path)
    with pytest.raises(UserError, match="has another mlreco, or other weights"):
        on_dask.reconstruct(order, None)


def test_without_dask_the_extra_is_named(tmp_path, files, weights, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'mlreco\[dask\]'"):
        produce(tiny_config(files), tmp_path / "out", weights=weights, cluster="local")
