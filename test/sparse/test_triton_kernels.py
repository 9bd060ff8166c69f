"""The Triton kernels: interpreted on the CPU against those in torch, and compiled for a GPU that need not be there."""

import itertools
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from mlreco.sparse.gathered import torch_kernels
from mlreco.sparse.gathered.kernels import kernels_for
from mlreco.sparse.gathered.parts import ABSENT, Affine, Convolution, Part
from mlreco.sparse.gathered.tables import levels_of

pytest.importorskip("triton")
DEVICES = [
    pytest.param("interpreted", id="interpreted"),
    pytest.param(
        "cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
    ),
]
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def run_again(name, **environment):
    """Run a test of this file in a process of its own, as Triton reads its settings when it is imported."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::{name}"]
    done = subprocess.run(command, env=os.environ | environment, cwd=Path(__file__).parents[2], capture_output=True)
    assert done.returncode == 0, done.stdout.decode()[-3000:]


def kernels(device):
    """The kernels under test."""
    from mlreco.sparse.gathered import triton_kernels

    if device == "cuda":
        assert kernels_for(torch.zeros(1, device="cuda")) is triton_kernels
    return triton_kernels


def sites(seed=0, voxels=70):
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(0, 9, (voxels, 4), generator=generator).unique(dim=0)
    found[:, 0] %= 2
    return found.unique(dim=0)[torch.randperm(len(found.unique(dim=0)), generator=generator)]


def check_tables(device):
    from mlreco.sparse.gathered import tables

    given, made_by = sites().to("cuda" if device == "cuda" else "cpu"), kernels(device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "kernels_for", lambda _: made_by)
        found = levels_of(given, 3)
    for ours, theirs in zip(found, levels_of(given.cpu(), 3), strict=True):
        assert torch.equal(ours.indices.cpu(), theirs.indices)
        assert torch.equal(ours.neighbours.cpu(), theirs.neighbours)
        for mine, other in zip(ours.halving or (), theirs.halving or (), strict=True):
            assert torch.equal(mine.cpu(), other)


def check_convolutions(device):
    """All flags, widths that are no multiples of a block, and room within a wider table."""
    made_by, place = kernels(device), "cuda" if device == "cuda" else "cpu"
    for cin, cout, dtype in ((4, 20, torch.float32), (20, 3, torch.float32), (18, 33, torch.float16)):
        torch.manual_seed(cin)
        source, residual = torch.randn(21, cin).to(dtype), torch.randn(19, 5)
        table = torch.randint(ABSENT, 21, (19, 8), dtype=torch.int32)
        then = Affine(torch.randn(cout), torch.randn(cout), 0.3)
        weight, shortcut = torch.randn(8, cin, cout).to(dtype), torch.randn(5, cout).to(dtype)
        cases = [(None, None, then), (torch.randn(19, cout), None, None), (residual, shortcut, then)]
        for added, by, after in cases:
            given = [source, table, Convolution(weight, by, after), dtype, added]
            expected = torch_kernels.convolution(*given)
            both = torch.zeros(19, cout + 4, device=place), torch.zeros(19, cout + 4, device=place, dtype=dtype)
            into = Part(*(out[:, 4:] for out in both))
            found = made_by.convolution(*moved(given, place))
            made_by.convolution(*moved(given, place), into)
            for ours, theirs in ((found.raw, expected.raw), (into.raw, expected.raw), (found.active, expected.active)):
                near(ours, theirs, dtype)
            if after is not None:
                near(into.active, expected.active, dtype)
                inner = made_by.activated_convolution(*moved(given[:3], place))
                near(inner, torch_kernels.activated_convolution(*given[:3]), dtype)
            assert not both[0][:, :4].any() and not both[1][:, :4].any()


def moved(values, place):
    """The same on a device, within tuples too."""
    if isinstance(values, torch.Tensor):
        return values.to(place)
    if isinstance(values, list):
        return [moved(value, place) for value in values]
    return type(values)(*(moved(value, place) for value in values)) if isinstance(values, tuple) else values


def near(ours, theirs, dtype):
    assert ours.dtype == theirs.dtype
    scale = float(theirs.float().abs().max())
    tolerance = {torch.float32: 1e-5, torch.float16: 4e-3}[dtype]
    torch.testing.assert_close(ours.cpu().float(), theirs.float(), rtol=0, atol=tolerance * scale)


def check_copies(device):
    place = "cuda" if device == "cuda" else "cpu"
    features, then = torch.randn(37, 5), Affine(torch.randn(5), torch.randn(5), 0.2)
    into = Part(torch.zeros(37, 5, device=place), torch.zeros(37, 5, device=place, dtype=torch.float16))
    kernels(device).copy_and_activation(features.to(place), Affine(*moved(list(then), place)), into)
    assert torch.equal(into.raw.cpu(), features)
    near(into.active, torch_kernels.activate(features, then, torch.float16), torch.float16)


@pytest.mark.skipif(not IS_INTERPRETED, reason="is run by the next test")
def test_interpreted():
    check_tables("interpreted")
    check_convolutions("interpreted")
    check_copies("interpreted")


@pytest.mark.skipif(IS_INTERPRETED, reason="runs the test before")
def test_interpreted_kernels_return_what_those_in_torch_do():
    run_again("test_interpreted", TRITON_INTERPRET="1")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_on_a_device_return_what_those_in_torch_do():
    check_tables("cuda")
    check_convolutions("cuda")
    check_copies("cuda")


def test_every_kernel_compiles_for_a_gpu(tmp_path):
    """Without one: the kernels are compiled up to machine code and not started."""
    run_again("test_compiled", MLRECO_COMPILES="1", TRITON_CACHE_DIR=str(tmp_path))


class Absent:
    """A driver of a device that is not there."""

    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda _: 0)
    get_active_torch_device = staticmethod(lambda: torch.device("cpu"))

    @staticmethod
    def get_current_target():
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 80, 32)


@pytest.mark.skipif("MLRECO_COMPILES" not in os.environ, reason="is run by the test before")
def test_compiled(monkeypatch):
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    compiled, run = set(), JITFunction.run

    def compile_only(kernel, *arguments, grid, warmup, **named):
        found = run(kernel, *arguments, grid=grid, warmup=True, **named)
        compiled.add(kernel.__name__)
        return lambda *_: found

    driver.set_active(Absent())
    monkeypatch.setattr(JITFunction, "run", compile_only)
    from mlreco.sparse.gathered import tables, triton_kernels

    given = sites()
    ascent = tables.ascent_of(given, 2)
    codes = triton_kernels.codes_of(given)
    triton_kernels.climbed(codes, 2)
    triton_kernels.sites_and_halvings(ascent, given)
    triton_kernels.neighbours(codes, ascent.order)
    triton_kernels.neighbours(codes, None)
    then = Affine(torch.ones(32), torch.zeros(32), 0.3)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        source, table = torch.zeros(9, 64, dtype=dtype), torch.zeros(5, 27, dtype=torch.int32)
        layer = Convolution(torch.zeros(27, 64, 32, dtype=dtype), torch.zeros(48, 32, dtype=dtype), then)
        triton_kernels.activated_convolution(source, table, layer)
        triton_kernels.convolution(source, table, layer, dtype, torch.zeros(5, 48))
        triton_kernels.convolution(source, table, layer._replace(shortcut=None), dtype, torch.zeros(5, 32))
    room = Part(torch.zeros(5, 32), torch.zeros(5, 32))
    triton_kernels.copy_and_activation(torch.zeros(5, 32), then, room)
    assert compiled == {"codes", "climb", "levels", "neighbours", "convolution", "copy"}


def test_a_kernel_is_started_again_only_for_what_it_was_compiled_for(tmp_path):
    run_again("test_started_again", MLRECO_COMPILES="1", TRITON_CACHE_DIR=str(tmp_path))


@pytest.mark.skipif("MLRECO_COMPILES" not in os.environ, reason="is run by the test before")
def test_started_again(monkeypatch):
    """What Triton would look at in the arguments, types and divisors, is the same at every start of a kernel."""
    from triton.runtime import driver

    driver.set_active(Absent())
    from mlreco.sparse.gathered import triton_code, triton_kernels

    binder = triton_code.convolution.device_caches[0][-1]
    first, again = [], []

    class Compiled:
        def __init__(self, looked_at):
            self.looked_at = looked_at

        def __getitem__(self, grid):
            return lambda *arguments: again.append(binder(*arguments)[1] == self.looked_at)

    class Compiler:
        def __getitem__(self, grid):
            return lambda *arguments: first.append(0) or Compiled(binder(*arguments)[1])

    monkeypatch.setattr(triton_code, "convolution", Compiler())

    def shifted(*shape, dtype, by):
        """A tensor that begins so many numbers after an aligned place."""
        return torch.zeros(by + math.prod(shape), dtype=dtype)[by:].view(shape)

    halves = (torch.float32, torch.float16, torch.bfloat16)
    for dtype, rows, cin, cout, slope in itertools.product(halves, (1, 16, 33), (1, 4, 16), (1, 7, 32), (0.0, 0.33)):
        for which in range(-1, 6):  # the tensor that is not aligned, if any
            by = [int(number == which) for number in range(6)]
            source = shifted(rows, cin, dtype=dtype, by=by[0])
            weight = shifted(8, cin, cout, dtype=dtype, by=by[1])
            shortcut = shifted(5, cout, dtype=dtype, by=by[2])
            then = Affine(shifted(cout, dtype=torch.float32, by=by[3]), torch.zeros(cout), slope)
            residual = shifted(rows, 5, dtype=torch.float32, by=by[4])
            table = shifted(rows, 8, dtype=torch.int32, by=by[5])
            for layer, added in (
                (Convolution(weight, None, then), None),
                (Convolution(weight, None, None), None),
                (Convolution(weight, shortcut, then), residual),
                (Convolution(weight, None, then), torch.zeros(rows, cout)),
            ):
                triton_kernels.convolution(source, table, layer, dtype, added)
                triton_kernels.convolution(source, table, layer, torch.float32, added)
            triton_kernels.activated_convolution(source, table, Convolution(weight, None, then))
    assert len(first) > 100 and len(again) > 100
    assert all(again)


def test_threads_start_kernels_one_at_a_time(monkeypatch):
    """Triton gives a kernel to other threads before it is loaded."""
    from mlreco.sparse.gathered import triton_code, triton_kernels

    inside, seen = [], []

    class Kernel:
        def __getitem__(self, grid):
            return self

        def __call__(self, *_):
            inside.append(0)
            time.sleep(0.01)
            seen.append(len(inside))
            inside.pop()

    monkeypatch.setattr(triton_code, "codes", Kernel())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(triton_kernels.codes_of, [torch.zeros(3, 4, dtype=torch.int64)] * 8))
    assert seen == [1] * 8
