"""Numba functions made from generators of LLVM code, which numba inlines where kernels call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mlreco.sparse.native.jit import kernels_depend_on

kernels_depend_on(Path(__file__).parent)


def function(signature: Any, generate: Callable[..., ir.Value | None]) -> Any:
    """Make a numba function. The annotation of the variable to which it is assigned says how kernels call it.

    Args:
        signature: types of its operands and its result.
        generate: takes a builder and the operands, emits the code, and returns the result, None for ``void``.
    """

    def code(context: Any, builder: ir.IRBuilder, _: Any, operands: tuple[ir.Value, ...]) -> ir.Value:
        result = generate(builder, *operands)
        return context.get_dummy_value() if result is None else result

    def run(typing: Any, *operands: types.Type) -> tuple[Any, Any]:
        return signature, code

    names = ["typing", *(f"operand_{number}" for number in range(len(signature.args)))]
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # numba counts the operands there
    return intrinsic(run)


Procedure = Callable[[tuple[int, ...]], None]
"""A function of one tuple of int64 and without result."""


def procedure(generate: Callable[[ir.IRBuilder, list[ir.Value]], None]) -> Procedure:
    """Make a numba function of one tuple of int64 and without result from a generator of its code."""

    def code(context: Any, builder: ir.IRBuilder, _: Any, operands: tuple[ir.Value, ...]) -> ir.Value:
        generate(builder, cgutils.unpack_tuple(builder, operands[0]))
        return context.get_dummy_value()

    def run(typing: Any, operands: types.Type) -> tuple[Any, Any]:
        return types.void(operands), code

    made: Any = intrinsic(run)
    return made
