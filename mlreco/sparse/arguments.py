"""Checks of the arguments that sparse images and layers are made with."""

from __future__ import annotations

import operator
from typing import SupportsIndex


def whole(name: str, value: SupportsIndex, least: int) -> int:
    """Return an argument that must be an integer of at least so much.

    Raises:
        ValueError: it is no integer, or too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, not {value!r}") from None
    if number < least or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    return number
