"""Threads that may call compiled functions, and that no others are started."""

import ast
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlreco.thread_pools import background_thread, thread_pool

ROOT = Path(__file__).parents[1]
HOME = "mlreco/thread_pools.py"
WITHOUT = {
    "mlreco/simulation/pool.py": "its threads wait for processes; `mlreco simulate` starts without numba",
    "mlreco/sparse/cpu/threads/crew.py": "its threads run two kernels alone, which were compiled before they start",
}
"""Files that start threads by themselves, and why they may."""
STARTERS = {"Thread", "Timer", "ThreadPool", "ThreadPoolExecutor", "start_new_thread", "to_thread", "run_in_executor"}


def starters_in(text):
    """Return which of ``STARTERS`` a source uses, under whatever name it has imported them."""
    used = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
    return used & STARTERS


def test_threads_start_in_one_place():
    files = sorted((ROOT / "mlreco").rglob("*.py"))
    found = {file.relative_to(ROOT).as_posix() for file in files if starters_in(file.read_text(encoding="utf-8"))}
    assert len(files) > 400
    assert found == {HOME, *WITHOUT}


@pytest.mark.parametrize(
    "text",
    [
        "from concurrent.futures import Future, ThreadPoolExecutor as Pool\n",
        "import concurrent.futures as later\nlater.ThreadPoolExecutor(2)\n",
        "def f():\n    import threading\n    threading.Thread(target=f).start()\n",
        "class Mine(threading.Timer):\n    pass\n",
    ],
)
def test_a_thread_is_seen_however_it_is_started(text):
    assert starters_in(text)


def test_other_use_of_the_libraries_is_no_thread():
    assert not starters_in("import threading\nfrom concurrent.futures import Executor\nlock = threading.Lock()\n")


STARTS = {
    "pool": "from mlreco.thread_pools import thread_pool\nthread_pool(1)",
    "thread": "from mlreco.thread_pools import background_thread\nbackground_thread(print, 'prints')",
    "crew": "from mlreco.sparse.cpu.threads.crew import crew_places\nassert crew_places(2)[2] == 1",
}
READY = """
from numba.core.typing.typeof import typeof_impl
import numpy as np
from mlreco.post_processing.clustering.linking import linked_components
known = len(typeof_impl.registry)
{start}
ready = len(typeof_impl.registry)
linked_components(np.random.default_rng(0).random((20, 3)), 0.1)
assert known < ready == len(typeof_impl.registry), "numba adds types at a call"
"""


@pytest.mark.parametrize("start", STARTS)
def test_no_call_adds_types_that_a_started_thread_may_be_looking_up(start):
    pytest.importorskip("awkward", reason="an extension of numba")
    subprocess.run([sys.executable, "-c", READY.format(start=STARTS[start])], check=True)


def test_threads_that_speak_to_processes_need_no_numba():
    code = "import sys, mlreco.simulation.pool, mlreco.simulation.products; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pool_has_as_many_threads_as_asked_for_and_prepares_each():
    prepared, together = [], threading.Barrier(3, timeout=10)

    def work(_):
        together.wait()
        return threading.current_thread().name

    with thread_pool(3, "crew", lambda: prepared.append(threading.current_thread().name)) as pool:
        names = list(pool.map(work, range(3)))
    assert sorted(prepared) == sorted(names) == ["crew_0", "crew_1", "crew_2"]


@pytest.mark.parametrize("threads", [None, 0])
def test_a_pool_of_all_processors(threads, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    together = threading.Barrier(2, timeout=10)
    with thread_pool(threads) as pool:
        assert sorted(pool.map(lambda _: together.wait(), range(2))) == [0, 1]


def test_a_negative_number_of_threads_is_refused():
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        thread_pool(-1)


def test_a_background_thread_waits_to_be_started_and_keeps_no_process_alive():
    done = threading.Event()
    thread = background_thread(done.set, "prefetch")
    assert (thread.name, thread.daemon, thread.is_alive(), done.is_set()) == ("prefetch", True, False, False)
    thread.start()
    assert done.wait(10)
