"""What the CPU's vector units can do: fused multiply-adds in registers, without memory."""

from __future__ import annotations

import numpy as np
import torch
from llvmlite import ir

from benchmarks.measurement import Measurement, Settings
from benchmarks.timing import Contender, interleave
from mlreco.sparse.cpu.codegen.intrinsics import Procedure, procedure
from mlreco.sparse.cpu.codegen.shared_memory import claim
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.codegen.vector_code import (
    load_row,
    loop,
    multiply_add,
    store_row,
)
from mlreco.sparse.cpu.threads.crew import share
from mlreco.sparse.native.jit import SharedKernel
from mlreco.sparse.native.job import Job
from mlreco.sparse.native.memory import aligned_empty

CASE = "fused multiply-adds"
_SUMS = 24 if UNIT.registers >= 32 else 12
_TURNS, _ITEMS = 20_000, 32
_FLOPS = 2.0 * UNIT.lanes * _SUMS * _TURNS * _ITEMS


def _chains() -> Procedure:
    """Make ``run((numbers, turns))``: independent chains of fused multiply-adds, more than a unit's latency needs."""

    def generate(builder: ir.IRBuilder, operands: list[ir.Value]) -> None:
        numbers, turns = operands
        (factor,) = load_row(builder, numbers, 1)
        sums = load_row(builder, numbers, _SUMS)
        sums = loop(builder, turns, sums, lambda _, held: [multiply_add(builder, factor, x, factor) for x in held])
        store_row(builder, sums, numbers)

    return procedure(generate)


_run_chains = _chains()


_JOB_NUMBERS = 8
"""Int64 numbers before those of the workers: a cache line."""
_BYTES_OF_A_WORKER = 4 * _SUMS * UNIT.lanes


def _multiply_add_of(job: int, worker: int) -> None:
    numbers = job + 8 * _JOB_NUMBERS + worker * _BYTES_OF_A_WORKER
    while claim(job) < _ITEMS:
        _run_chains((numbers, _TURNS))


_multiply_add = SharedKernel(_multiply_add_of)


def _spin() -> None:
    threads = torch.get_num_threads()
    job = aligned_empty((_JOB_NUMBERS + threads * _SUMS * UNIT.lanes // 2,), np.int64)
    job[:] = 0
    job.view(np.float32)[2 * _JOB_NUMBERS :] = 0.5
    share(_multiply_add, Job.over(job), threads)


def contenders(threads: tuple[int, ...]) -> list[Contender]:
    """Return the loop for every number of threads, to take turns with what it is compared with."""
    return [Contender(CASE, "registers only", _spin, threads=n, flops=_FLOPS) for n in threads]


def measure(settings: Settings) -> list[Measurement]:
    """Measure the peak of single precision."""
    return interleave(contenders(settings.threads), settings)
