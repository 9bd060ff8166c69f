"""What the host's vector unit looks like, and the register tiles that fill it."""

from __future__ import annotations

from dataclasses import dataclass

import llvmlite.binding as llvm
from numba.core import codegen, config


@dataclass(frozen=True)
class VectorUnit:
    """Shape of a register file and of the tiles that the kernels keep in it.

    Attributes:
        name: instruction set.
        lanes: float32 numbers in a register.
        registers: how many there are.
        rows: height of the tiles of 1, 2, ... vectors a row.
        channels: input channels that a tile adds in one turn of its innermost loop, a power of two up to 16. More
            channels need fewer instructions each, but may need more registers than a tile leaves free.
        gradient_rows: the same for the tiles of the weight gradient: tall ones, and low ones for what these leave.
        block_rows: most output rows of a block, and least where several threads share few rows; a block's sums stay in
            the second cache.
        panel_bytes: most bytes of a panel that is wider than two vectors; it stays in the first cache.
    """

    name: str
    lanes: int
    registers: int
    rows: tuple[int, ...]
    channels: int
    gradient_rows: tuple[tuple[int, int], ...]
    block_rows: tuple[int, int] = (768, 320)
    panel_bytes: int = 1 << 20

    def widest(self, rows: int) -> int:
        """Return how many vectors wide a panel of so many rows may be."""
        fit = self.panel_bytes // (max(1, rows) * self.lanes * 4)
        return min(len(self.rows), max(2, fit))


AVX512 = VectorUnit("avx512", 16, 32, (12, 12, 8, 6), 1, ((16, 16), (8, 8), (8, 8)))
AVX2 = VectorUnit("avx2", 8, 16, (10, 6, 4), 4, ((8, 8), (6, 4), (4, 4)), (384, 256), 16 << 10)
NEON = VectorUnit("neon", 4, 32, (14, 10, 8, 6), 1, ((16, 16), (8, 8), (8, 8)))
GENERIC = VectorUnit("generic", 4, 16, (8, 5, 3), 1, ((8, 8), (4, 4), (3, 3)))


def compiled_features() -> set[str]:
    """Return the names of the CPU features that numba compiles for: those of the host unless the user limits them."""
    wanted = config.CPU_FEATURES if config.CPU_FEATURES is not None else codegen.get_host_cpu_features()
    return {word[1:] for word in wanted.split(",") if word.startswith("+")}


def detect() -> VectorUnit:
    """Return the vector unit that kernels are compiled for."""
    features = compiled_features()
    if "avx512f" in features:
        return AVX512
    if {"avx2", "fma"} <= features:
        return AVX2
    if "neon" in features or llvm.get_default_triple().startswith(("aarch64", "arm64")):
        return NEON
    return GENERIC


UNIT = detect()
