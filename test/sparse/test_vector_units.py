"""The kernels of every vector unit, those of other machines too: the compiler makes wide vectors of narrow ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import importlib.util
import sys

name = "mlreco.sparse.cpu.codegen.simd"  # must be there with its unit before its package imports it
found = importlib.util.spec_from_file_location(name, sys.argv[2])
simd = sys.modules[name] = importlib.util.module_from_spec(found)
found.loader.exec_module(simd)
simd.UNIT = getattr(simd, sys.argv[1])

import numpy as np
import torch
from mlreco.sparse.plain import kernels as plain
from mlreco.sparse.cpu import kernels as backend
from mlreco.sparse.cpu.codegen import vector_code
from mlreco.sparse.maps.kernel_map import downsample_map, keys_from_coordinates, submanifold_map

assert vector_code.VECTOR_BYTES == 4 * simd.UNIT.lanes
rng = np.random.default_rng(0)
sites = np.unique(np.c_[np.zeros(900, int), rng.integers(0, 16, (900, 3))], axis=0)
keys = keys_from_coordinates(sites)
down = downsample_map(keys)[0]
for kernel_map in (submanifold_map(keys), down, down.transposed()):
    for fan_in, fan_out in ((1, 1), (3, 17), (32, 32), (37, 50), (64, 20), (96, 160)):
        offsets = len(kernel_map.starts) - 1
        x, grad = torch.randn(kernel_map.n_in, fan_in), torch.randn(kernel_map.n_out, fan_out)
        weight = torch.randn(fan_out, offsets, fan_in).permute(1, 2, 0) / (offsets * fan_in) ** 0.5
        for name, operands in (("conv_forward", (x, weight)), ("conv_backward", (x, grad, weight))):
            found = getattr(backend, name)(*operands, kernel_map)
            expected = getattr(plain, name)(*(operand.double() for operand in operands), kernel_map)
            for mine, other in zip(found, expected) if name == "conv_backward" else [(found, expected)]:
                torch.testing.assert_close(mine.double(), other, rtol=1e-5, atol=3e-6 * float(other.abs().max()))
"""


@pytest.mark.parametrize("unit", ["AVX512", "AVX512_HALVES", "AVX2", "NEON", "GENERIC"])
def test_kernels_of_a_unit_follow_the_plain_path(unit, tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", CODE, unit, str(ROOT / "mlreco/sparse/cpu/codegen/simd.py")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
