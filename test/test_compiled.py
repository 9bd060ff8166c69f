"""Compiled functions: kept on disk until what they are made of changes, compiled at every start elsewhere."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import types

from mlreco import compiled as compiling
from mlreco.compiled import compiled, compiled_callback, stamp_of

ROOT = Path(__file__).parents[1]


def test_nothing_is_compiled_in_another_way():
    own_way = re.compile(r"(?<!triton\.)\b(njit|jit|cfunc|vectorize|guvectorize|generated_jit)\(")
    files = [file for file in (ROOT / "mlreco").rglob("*.py") if file.name != "compiled.py"]
    found = [str(file) for file in files if own_way.search(file.read_text())]
    assert len(files) > 100
    assert not found


IMPORT_ALL = """
import importlib, pkgutil
from numba.core import caching

def refuse(locator):
    raise OSError(30, "Read-only file system")

caching._CacheLocator.ensure_cache_path = refuse
import mlreco
for module in pkgutil.walk_packages(mlreco.__path__, "mlreco."):
    try:
        importlib.import_module(module.name)
    except ImportError:  # an extra that is not installed
        pass
from mlreco.post_processing.clustering import numbering
import numpy as np
kernel = next(k for k in vars(numbering).values() if hasattr(k, "py_func"))
assert not kernel.stats.cache_path
print("imported")
"""


def test_every_module_works_where_nothing_can_be_kept():
    result = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.stdout == "imported\n", result.stderr


def test_a_function_and_a_callback_without_a_place(monkeypatch):
    from numba.core import caching

    def refuse(locator):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", refuse)
    monkeypatch.setattr(compiling, "_without_place", 0)

    @compiled
    def double(x):
        return 2 * x

    @compiled(error_model="numpy")
    def inverse(x):
        return 1 / x

    @compiled_callback(types.float64(types.float64))
    def half(x):
        return x / 2

    assert double(4) == 8
    assert inverse(0.0) == np.inf
    assert half.ctypes(4.0) == 2.0
    assert not compiling.are_kept()


CALLEE = """
from mlreco.compiled import compiled
import numpy as np
FACTOR, TABLE = {factor}, np.array({table})
@compiled
def scaled(x):
    return FACTOR * x + TABLE[0]
"""
CALLER = """
from mlreco.compiled import compiled
import {callee}
from {callee} import scaled
@compiled
def twice(x):
    return scaled(scaled(x))
@compiled
def by_name(x):
    return {callee}.scaled(x)
def alone(x):
    return x
"""


@pytest.mark.parametrize("change", [{"factor": 3}, {"table": [5]}, {}])
def test_what_a_function_calls_and_reads_is_part_of_it(tmp_path, monkeypatch, change):
    monkeypatch.syspath_prepend(tmp_path)
    stamps = []
    for number, values in enumerate(({}, change)):
        callee = f"mlreco_test_callee_{len(change)}{number}{'_'.join(change)}"
        (tmp_path / f"{callee}.py").write_text(CALLEE.format(**{"factor": 2, "table": [4], **values}))
        (tmp_path / f"{callee}_user.py").write_text(CALLER.format(callee=callee))
        importlib.invalidate_caches()
        caller = importlib.import_module(f"{callee}_user")
        monkeypatch.setattr(compiling, "_PACKAGE", callee)
        assert caller.twice(1) == caller.by_name(caller.by_name(1))
        (files, constants), (files_by_name, by_name) = stamp_of(caller.twice.py_func), stamp_of(caller.by_name.py_func)
        assert (
            [Path(file).name for file, _, _ in files] == [f"{callee}.py"] == [Path(f).name for f, _, _ in files_by_name]
        )
        assert constants == by_name
        assert stamp_of(caller.alone) == ((), ())
        stamps.append(constants)
    assert (stamps[0] == stamps[1]) is (not change)


def test_the_stamp_decides_whether_code_on_disk_is_used(tmp_path):
    """A second process takes it from there, and a third not, for whom a constant of another file has changed."""
    (tmp_path / "callee.py").write_text(CALLEE.format(factor=2, table=[0]))
    (tmp_path / "caller.py").write_text(CALLER.format(callee="callee"))
    code = "import caller; print(caller.twice(1), sum(caller.twice.stats.cache_hits.values()))"

    def run():
        environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
        return subprocess.run(
            [sys.executable, "-B", "-c", code], capture_output=True, text=True, env=environment, check=True
        ).stdout.split()

    assert run() == ["4", "0"]
    assert run() == ["4", "1"]
    (tmp_path / "callee.py").write_text(CALLEE.format(factor=3, table=[0]))
    assert run() == ["9", "0"]


SORTING = """
from mlreco.compiled import compiled
import numpy as np
@compiled
def least(x):
    return np.sort(x)[0]
@compiled
def place_of_least(x):
    return np.argsort(x)[0]
@compiled
def one(x):
    return x
@compiled
def two(x):
    return one(x)
@compiled
def three(x):
    return two(x)
def identity(kernel):
    return next(iter(kernel.overloads.values())).fndesc.uid
X = np.array([3.0, 1.0, 2.0])
"""


def test_code_of_two_processes_has_names_of_its_own(tmp_path):
    """numba's sort and argsort are made by one function; counted from 1, ``three`` would give both the same name."""
    (tmp_path / "sorting.py").write_text(SORTING)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "NUMBA_CACHE_DIR": str(tmp_path / "kept"),
    }

    def said(code):
        command = [sys.executable, "-c", f"from sorting import *\n{code}"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    number, first = said("print(least(X.copy()), identity(least))")
    place, other = said("three(1); print(place_of_least(X), identity(three))")
    assert (number, place) == ("1.0", "1")
    assert first != other
    hits = "sum(least.stats.cache_hits.values()), sum(place_of_least.stats.cache_hits.values())"
    assert said(f"print(least(X.copy()), place_of_least(X), {hits})") == ["1.0", "1", "1", "1"]


CALLBACK = """
from numba import types
from mlreco.compiled import compiled_callback
from callback_constants import FACTOR
@compiled_callback(types.float64(types.float64))
def scaled(x):
    return FACTOR * x
print(scaled.ctypes(10.0), scaled.cache_hits)
"""


def test_a_kept_callback_is_made_again_when_a_constant_of_another_file_changes(tmp_path):
    (tmp_path / "callback.py").write_text(CALLBACK)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "NUMBA_CACHE_DIR": str(tmp_path / "kept"),
    }
    said = []
    for factor in (2, 2, 3):
        (tmp_path / "callback_constants.py").write_text(f"FACTOR = {factor}  # {'x' * factor}\n")
        command = [sys.executable, "-c", "import callback"]
        said.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split())
    assert said == [["20.0", "0"], ["20.0", "1"], ["30.0", "0"]]


def test_kept_code_that_is_damaged_is_made_again(tmp_path):
    """Whatever a crash of the machine left of it: nothing, a part, something else; of the index and of the code."""
    (tmp_path / "callee.py").write_text(CALLEE.format(factor=2, table=[0]))
    code = (
        "import callee; from mlreco import compiled as c; "
        "print(callee.scaled(1), sum(callee.scaled.stats.cache_hits.values()), c.are_kept())"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "NUMBA_CACHE_DIR": str(tmp_path / "kept")}

    def run():
        command = [sys.executable, "-B", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=True)

    assert run().stdout.split() == ["2", "0", "True"]
    for ending, damage in (("nbi", b""), ("nbc", b""), ("nbc", None), ("nbi", b"no pickle")):
        (file,) = (tmp_path / "kept").rglob(f"*.{ending}")
        file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
        again = run()
        assert (again.stdout.split(), again.stderr) == (["2", "0", "True"], "")
    assert run().stdout.split() == ["2", "1", "True"]


def test_a_full_disk_costs_time_alone(monkeypatch, capsys):
    from numba.core import caching

    from mlreco import progress
    from mlreco.cli.run_clock import told_once

    def full(file, key, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    monkeypatch.setattr(compiling.Kept, "_is_lost", False)
    monkeypatch.setattr(compiling, "_without_place", 0)
    assert compiling.are_kept() and progress._of_compiling() == progress.COMPILING

    @compiled
    def triple(x):
        return 3 * x

    @compiled_callback(types.float64(types.float64))
    def third(x):
        return x / 3

    assert triple(4) == 12 and triple(0.5) == 1.5 and third.ctypes(6.0) == 2.0
    assert not compiling.are_kept()
    told = capsys.readouterr().err
    assert told.count("No space left on device; later runs compile them again") == 1 == told.count("\n")
    assert progress._of_compiling() == f"compiling kernels: {compiling.AGAIN}"
    assert told_once(2, 3) == "; compiling kernels: 2.0 s"
