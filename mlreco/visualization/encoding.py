"""Arrays inside a page: base64 of little-endian bytes, as small as their content allows."""

from __future__ import annotations

import base64

import numpy as np

_INTEGER_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4")
_QUANTISED_STEPS = 65534
_QUANTISED_NAN = 65535


def encode_integers(values: np.ndarray) -> dict:
    """Encode integers exactly, in the smallest type that holds them.

    Args:
        values: (N,) integers within the range of int32 or uint32.

    Returns:
        ``{"dtype": .., "bdata": ..}`` with the type's NumPy name and the base64 text.
    """
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for dtype in _INTEGER_TYPES:
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return _column(values, dtype)
    raise OverflowError(f"integers from {low} to {high} do not fit 32 bits")


def encode_floats(values: np.ndarray) -> dict:
    """Encode numbers as float32.

    Args:
        values: (N,) numbers, NaN and infinities allowed.
    """
    return _column(values, "f4")


def encode_quantised(values: np.ndarray) -> dict:
    """Encode numbers in two bytes each, in equal steps between the smallest and the largest.

    The error is at most half a step, 1/131068 of the range; numbers that are not finite become NaN.

    Args:
        values: (N,) numbers.

    Returns:
        ``{"dtype": "u2", "bdata": .., "low": .., "step": ..}``: value = low + step * integer; 65535 is NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    step = (high - low) / _QUANTISED_STEPS or 1.0
    integers = np.full(values.shape, _QUANTISED_NAN)
    integers[finite] = np.rint((values[finite] - low) / step)
    return {**_column(integers, "u2"), "low": low, "step": step}


def decode(column: dict) -> np.ndarray:
    """Return the numbers of an encoded column: what the page's JavaScript does, for whoever reads a page back."""
    values = np.frombuffer(base64.b64decode(column["bdata"]), dtype=np.dtype("<" + column["dtype"]))
    if "step" not in column:
        return values
    return np.where(values == _QUANTISED_NAN, np.nan, column["low"] + column["step"] * values)


def _column(values: np.ndarray, dtype: str) -> dict:
    packed = np.ascontiguousarray(values, dtype=np.dtype("<" + dtype)).tobytes()
    return {"dtype": dtype, "bdata": base64.b64encode(packed).decode("ascii")}
