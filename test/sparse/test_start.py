"""What happens when a process starts: kept machine code, places without a cache, CPUs of other kinds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlreco import compiled as compiling
from mlreco.sparse.cpu.codegen import simd
from mlreco.sparse.cpu.codegen.shared_memory import integers_at
from mlreco.sparse.native import jit

ROOT = Path(__file__).parents[2]

EVERY_KERNEL = """
import importlib.util
import sys
import numpy as np

if len(sys.argv) > 1:  # the module must be there with its unit before its package imports it
    name = "mlreco.sparse.cpu.codegen.simd"
    found = importlib.util.spec_from_file_location(name, sys.argv[2])
    simd = sys.modules[name] = importlib.util.module_from_spec(found)
    found.loader.exec_module(simd)
    simd.UNIT = getattr(simd, sys.argv[1])

from mlreco.sparse.cpu.codegen import vector_code
from mlreco.sparse.cpu.ops import column_moments, convolution_kernels, epilogue, norm_kernels, normalisation, panels
from mlreco.sparse.cpu.ops import convolution, weight_gradient, weight_gradient_kernels
from mlreco.sparse.cpu.threads import crew
from mlreco.sparse.maps import strided, submanifold
from mlreco.sparse.maps.kernel_map import downsample_map, keys_from_coordinates, submanifold_map
from mlreco.sparse.native.jit import SharedKernel

if len(sys.argv) > 1:
    assert vector_code.VECTOR_BYTES == 4 * simd.UNIT.lanes
keys = keys_from_coordinates(np.array([[0, x, y, z] for x in range(3) for y in range(4) for z in range(5)]))
kernel_map = submanifold_map(keys)
downsample_map(keys)
rng = np.random.default_rng(0)
for channels in (3, 16, 37, 70):
    x, grad = rng.normal(size=(2, 60, channels)).astype(np.float32)
    weight = rng.normal(size=(27, channels, channels)).astype(np.float32)
    out = convolution.convolution(x, panels.pack(weight), kernel_map)
    gradient = weight_gradient.weight_gradient(x, grad, kernel_map).numpy()
    assert panels.pack(weight).values.equal(panels.pack(np.asfortranarray(weight)).values)
    for k in range(27):
        pairs = slice(*kernel_map.starts[k : k + 2])
        source, target = kernel_map.in_rows[pairs], kernel_map.out_rows[pairs]
        out[target] -= x[source] @ weight[k]
        gradient[k] -= x[source].T @ grad[target]
    assert abs(out).max() < 1e-3 and abs(gradient).max() < 1e-3
norm = normalisation.Norm(x[0].copy(), x[0].copy(), 1e-5, 0.3)
moments = normalisation.normalise(x, norm, np.empty_like(x))
normalisation.gradients(x, x, moments, norm, np.empty_like(x))
normalisation.activate(x, epilogue.Activation(x[0].copy(), x[0].copy(), 0.3), x)
modules = (strided, column_moments, convolution_kernels, crew, epilogue, norm_kernels, panels, submanifold)
modules += (weight_gradient_kernels,)
found = {id(k): k for module in modules for k in vars(module).values()}.values()
kernels = [k.stats for k in found if hasattr(k, "stats")]
shared = [k.compiled.cache_hits for k in found if isinstance(k, SharedKernel)]
print(sum(sum(k.cache_hits.values()) for k in kernels) + sum(shared))
print(sum(sum(k.cache_misses.values()) for k in kernels) + shared.count(0))
"""


def run(folder, *arguments):
    """Hits and misses of numba's cache in a process that uses every kernel."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    unit_file = [str(ROOT / "mlreco/sparse/cpu/codegen/simd.py")] if arguments else []
    command = [sys.executable, "-c", EVERY_KERNEL, *arguments, *unit_file]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    return [int(word) for word in result.stdout.split()]


def test_tiles_of_other_cpus_compute_the_same_and_the_second_process_compiles_nothing(tmp_path):
    _, compiled = run(tmp_path / "avx2", "AVX2")
    loaded, compiled_again = run(tmp_path / "avx2", "AVX2")
    assert compiled > 0
    assert loaded > 0
    assert compiled_again == 0
    run(tmp_path / "neon", "NEON")


@pytest.fixture
def no_place(monkeypatch):
    """Nowhere is a folder that can be written; what numba raises then."""

    def refuse(kept, function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiling.Kept, "__init__", refuse)
    monkeypatch.setattr(compiling, "_without_place", 0)


def _twice(values):
    return 2 * values


def test_without_a_place_for_the_cache_kernels_are_still_compiled(no_place):
    assert compiling.are_kept()
    twice = jit.kernel(_twice)
    assert twice(21) == 42
    assert twice.signatures
    assert not compiling.are_kept()


def _write_the_worker(job, worker):
    integers_at(job)[0] = worker


def test_without_a_place_for_the_cache_shared_kernels_are_still_compiled(no_place):
    compiled = jit.SharedKernel(_write_the_worker).compiled
    number = np.full(1, -1)
    compiled.ctypes(number.ctypes.data, 7)
    assert number[0] == 7
    assert not compiling.are_kept()


@pytest.mark.parametrize(
    ("processor", "features", "unit"),
    [
        ("icelake-server", "+avx,+avx2,+fma,+avx512f,+avx512vl", simd.AVX512),
        ("znver5", "+avx,+avx2,+fma,+avx512f,+avx512vl", simd.AVX512),
        ("znver4", "+avx,+avx2,+fma,+avx512f,+avx512vl", simd.AVX512_HALVES),
        ("znver4", "+avx,+avx2,+fma,+avx512f", simd.AVX512),
        ("znver4", "+avx,+avx2,+fma", simd.AVX2),
        ("apple-m1", "+neon", simd.NEON),
        ("generic", "+avx", simd.GENERIC),
    ],
)
def test_the_vector_unit_is_that_which_numba_compiles_for(monkeypatch, processor, features, unit):
    monkeypatch.setattr(simd.config, "CPU_NAME", processor)
    monkeypatch.setattr(simd.config, "CPU_FEATURES", features)
    monkeypatch.setattr(simd.llvm, "get_default_triple", lambda: "x86_64-unknown-linux-gnu")
    assert simd.detect() is unit
