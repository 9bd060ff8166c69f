"""The vector unit for which kernels are compiled, and the shapes of the register tiles that fit it."""

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
        rows: heights of the tiles that are 1, 2, ... vectors wide.
        channels: input channels per iteration of a tile's innermost loop, a power of two up to 16. More channels save
            instructions, but may need more registers than the tile leaves free.
        gradient_rows: heights of the tiles of the weight gradient that are 1, 2, ... vectors wide: of tall tiles and
            of low ones for the rows that are left over.
        block_rows: most output rows of a block, and least where several threads share few rows; a block's sums stay in
            the second-level cache.
        panel_bytes: most bytes of a panel that is wider than two vectors; it stays in the first-level cache.
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
        """Return how many vectors wide a panel with so many rows (input channels) may be."""
        fit = self.panel_bytes // (max(1, rows) * self.lanes * 4)
        return min(len(self.rows), max(2, fit))


AVX512 = VectorUnit("avx512", 16, 32, (12, 12, 8, 6), 1, ((16, 16), (8, 8), (8, 8)))
AVX512_HALVES = VectorUnit("avx512 in halves", 8, 32, (12, 12, 8, 6), 1, ((16, 16), (8, 8), (8, 8)))
"""For processors that work on a 512-bit register in two halves: narrow registers do as much, and a layer of 24 features
fills three of them, but one and a half of the wide ones."""
AVX2 = VectorUnit("avx2", 8, 16, (10, 6, 4), 4, ((8, 8), (6, 4), (4, 4)), (384, 256), 16 << 10)
NEON = VectorUnit("neon", 4, 32, (14, 10, 8, 6), 1, ((16, 16), (8, 8), (8, 8)))
GENERIC = VectorUnit("generic", 4, 16, (8, 5, 3), 1, ((8, 8), (4, 4), (3, 3)))

WORKS_IN_HALVES = ("znver4",)
"""LLVM's names of the processors with AVX-512 that work on its registers in two halves."""


def compiled_features() -> set[str]:
    """Return the names of the CPU features that numba compiles for: those of the host unless the user limits them."""
    limited: str | None = vars(config)["CPU_FEATURES"]  # numba sets its options from the environment
    wanted = limited if limited is not None else codegen.get_host_cpu_features()
    return {word[1:] for word in wanted.split(",") if word.startswith("+")}


def compiled_processor() -> str:
    """Return LLVM's name of the processor that numba compiles for: the host unless the user names another."""
    limited: str | None = vars(config)["CPU_NAME"]
    return limited if limited is not None else llvm.get_host_cpu_name()


def detect() -> VectorUnit:
    """Return the vector unit that kernels are compiled for."""
    features = compiled_features()
    if "avx512f" in features:
        in_halves = "avx512vl" in features and compiled_processor() in WORKS_IN_HALVES
        return AVX512_HALVES if in_halves else AVX512
    if {"avx2", "fma"} <= features:
        return AVX2
    if "neon" in features or llvm.get_default_triple().startswith(("aarch64", "arm64")):
        return NEON
    return GENERIC


UNIT = detect()
