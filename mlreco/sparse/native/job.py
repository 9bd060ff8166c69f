"""Jobs: the arguments of a kernel as one structure of numbers and addresses, given by name and checked once.

A ``Layout`` names the fields in their order; kernels read the structure with ``Layout.dtype``. A ``Job`` keeps a
reference to every array whose address it contains, so that this memory lives as long as the job.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from mlreco.sparse.native.memory import Array, address

_TORCH: dict[type, torch.dtype] = {
    np.float32: torch.float32,
    np.float64: torch.float64,
    np.int32: torch.int32,
    np.int64: torch.int64,
}
_NOTHING: Mapping[str, int] = {}

INT = "a number"
"""Field kind: an int64 that the caller gives."""
FLOAT = "a float"
"""Field kind: a float64."""
OWN = "written by kernels"
"""Field kind: an int64 that kernels write; 0 before."""
CODE = "machine code"
"""Field kind: where a kernel (:class:`mlreco.sparse.native.jit.SharedKernel`) begins."""
RECORD = "a structure"
"""Field kind: where another job begins, or a table of them."""


@dataclass(frozen=True)
class Numbers:
    """Field kind: where the numbers of an array begin.

    Attributes:
        dtype: of the array.
        shape: its sizes: numbers, or names of fields or of the job's ``dims``; None: not checked, for scratch memory
            that the function that makes the job has just allocated.
        any_strides: whether it may be other than C-contiguous.
        optional: whether it may be None; the address is 0 then.
    """

    dtype: type
    shape: tuple[str | int, ...] | None = None
    any_strides: bool = False
    optional: bool = False

    def placer(self, name: str) -> Callable[[Array, tuple[int, ...] | None], int]:
        """Return a function that checks dtype, shape, contiguity and device of an array and returns its address.

        Kernels trust the addresses, nothing is checked later. For tensors ``Layout`` generates the same checks as
        inline code; it calls this function for other arrays, and to raise errors.
        """
        dtype, torch_dtype, any_strides = self.dtype, _TORCH[self.dtype], self.any_strides

        def place(numbers: Array, shape: tuple[int, ...] | None) -> int:
            if numbers is None:
                raise TypeError(f"field '{name}' of a job is missing")
            if shape is not None and numbers.shape != shape:
                raise ValueError(f"{name} must have the shape {shape}, not {tuple(numbers.shape)}")
            if type(numbers) is torch.Tensor or isinstance(numbers, torch.Tensor):
                if numbers.dtype is torch_dtype and numbers.is_cpu and (any_strides or numbers.is_contiguous()):
                    return numbers.data_ptr()
            elif numbers.dtype == dtype and (any_strides or numbers.flags.c_contiguous):
                return address(numbers)
            what = dtype.__name__ + ("" if any_strides else ", C-contiguous")
            raise ValueError(f"{name} must be {what} and on the CPU; this is of {numbers.dtype}")

        return place


Kind = str | Numbers


class Layout:
    """The fields of a structure.

    Args:
        fields: their kinds by their names, in their order; each takes eight bytes.

    Attributes:
        dtype: the structure as kernels read it.
        write: function ``write(dims, **fields)`` that returns the int64 numbers of a structure and the objects to which
            they point. It raises a TypeError where a field is missing or unknown, and a ValueError where an array has
            another shape or type.
    """

    def __init__(self, **fields: Kind) -> None:
        self.fields = fields
        self.dtype = np.dtype([(name, np.float64 if kind is FLOAT else np.int64) for name, kind in fields.items()])
        self.write = self._writer()

    def __add__(self, other: Layout) -> Layout:
        """Return the layout of the fields of both."""
        return Layout(**self.fields, **other.fields)

    def _writer(self) -> Callable[..., tuple[list[int], tuple[Any, ...]]]:
        """Generate ``write`` as straight-line Python code for these fields.

        A convolution's job with its sources has some 40 fields and a network makes hundreds of jobs; a loop over the
        fields takes several times as long.
        """
        parameters, numbers, kept = [], [], []
        names: dict[str, Any] = {"bits": bits, "Tensor": torch.Tensor}
        for name, kind in self.fields.items():
            if kind is OWN:
                numbers.append("0")
                continue
            optional = isinstance(kind, Numbers) and kind.optional
            parameters.append(f"{name}=None" if optional else name)
            if isinstance(kind, Numbers):
                names[f"place_{name}"], names[f"dtype_{name}"] = kind.placer(name), _TORCH[kind.dtype]
                absent = f"0 if {name} is None else " if kind.optional else ""
                numbers.append(absent + self._address(name, kind))
            else:
                numbers.append({INT: name, FLOAT: f"bits({name})"}.get(kind, f"{name}.address"))
            if isinstance(kind, Numbers) or kind is RECORD:
                kept.append(name)
        result = f"[{', '.join(numbers)}], ({''.join(f'{name}, ' for name in kept)})"
        exec(f"def Job(dims, *, {', '.join(parameters)}):\n    return {result}", names)
        return names["Job"]

    def _address(self, name: str, kind: Numbers) -> str:
        """Return the code of the address of an array, after checks."""
        shape = self._shape(kind)
        checks = [f"isinstance({name}, Tensor)", f"{name}.dtype is dtype_{name}", f"{name}.is_cpu"]
        checks += [] if kind.shape is None else [f"{name}.shape == {shape}"]
        checks += [] if kind.any_strides else [f"{name}.is_contiguous()"]
        return f"{name}.data_ptr() if {' and '.join(checks)} else place_{name}({name}, {shape})"

    def _shape(self, kind: Numbers) -> str:
        """Return the code of the shape that an array must have."""
        if kind.shape is None:
            return "None"
        sizes = (n if n in self.fields else f"dims[{n!r}]" if isinstance(n, str) else str(n) for n in kind.shape)
        return f"({''.join(f'{size}, ' for size in sizes)})"


@lru_cache
def bits(number: float) -> int:
    """Return the int64 that has the same bits as a float64."""
    return struct.unpack("q", struct.pack("d", number))[0]


class Job:
    """A structure in memory, which keeps the arrays to which it points.

    Args:
        layout: its fields.
        dims: sizes that shapes in the layout name and that are no fields.
        values: the fields by their names: integers, floats, arrays, kernels and other jobs.

    Attributes:
        address: where it begins.
    """

    __slots__ = ("_kept", "_numbers", "address")

    def __init__(self, layout: Layout, dims: Mapping[str, int] = _NOTHING, **values: Any) -> None:
        numbers, self._kept = layout.write(dims, **values)
        self._numbers: array | None = array("q", numbers)
        self.address = self._numbers.buffer_info()[0]

    @classmethod
    def table(cls, layout: Layout, rows: Iterable[tuple[Mapping[str, int], dict[str, Any]]]) -> Job:
        """Return several structures one after another.

        Args:
            layout: of each.
            rows: dims and values of each.
        """
        table = cls.__new__(cls)
        numbers: list[int] = []
        kept: list[Any] = []
        for dims, values in rows:
            row, used = layout.write(dims, **values)
            numbers += row
            kept += used
        table._numbers, table._kept = array("q", numbers), tuple(kept)
        table.address = table._numbers.buffer_info()[0]
        return table

    @classmethod
    def over(cls, numbers: Array) -> Job:
        """Return a job whose structure is the array itself, for kernels that read it as a plain table."""
        job = cls.__new__(cls)
        job._kept, job._numbers, job.address = (numbers,), None, address(numbers)
        return job
