"""The content of a checkpoint from which a training can continue: its parts with their types and bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field

NotNegative = Annotated[int, Field(ge=0, lt=1 << 53)]


class _Part(BaseModel):
    """A part of the state; keys that later versions add are ignored."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="ignore", strict=True)


class _Batches(_Part):
    """State of the data loader, which checks the rest itself."""

    model_config = ConfigDict(extra="allow", strict=True)

    iteration: NotNegative


class _Log(_Part):
    path: str
    bytes: NotNegative
    unwritten: dict[str, int | float] = {}


class _Reports(_Part):
    log: _Log | None = None
    validation: _Log | None = None
    interval: dict[str, Annotated[list[int | float], Field(min_length=2, max_length=2)]] = {}


class _Selection(_Part):
    iteration: NotNegative = 0
    value: float = math.nan
    misses: NotNegative = 0
    validated: NotNegative = 0
    pending: NotNegative = 0


class Content(_Part):
    """The state of a training, with its weights and without its metadata."""

    state_dict: Mapping[str, torch.Tensor]
    trained_state_dict: Mapping[str, torch.Tensor] | None = None
    averaged_steps: NotNegative = 0
    optimizer: dict[str, Any]
    scheduler: dict[str, Any] | None
    scaler: dict[str, Any] = {}
    skipped_steps: NotNegative = 0
    left_out: list[tuple[str, int, str]] = []
    random: dict[str, Any]
    iteration: NotNegative
    epoch: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    seed: Annotated[int, Field(ge=0, lt=1 << 64)]
    batches: _Batches
    reports: _Reports = _Reports()
    selection: _Selection = _Selection()


def of_another_kind(found: Any, wanted: Any, place: str) -> str:
    """Return the place of the first value of a wrong type; an empty text where all are right.

    Args:
        found: nested mappings, lists and plain values.
        wanted: the same with values of the right types; what only one of them has is ignored.
        place: where they stand, for the result.
    """
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return place
        both = ((f"{place}.{key}", found[key], value) for key, value in wanted.items() if key in found)
    elif isinstance(wanted, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(wanted):
            return place
        both = ((f"{place}.{number}", *pair) for number, pair in enumerate(zip(found, wanted, strict=True)))
    else:
        return "" if _is_alike(found, wanted) else place
    return next(filter(None, (of_another_kind(one, other, where) for where, one, other in both)), "")


def _is_alike(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool | str):
        return isinstance(found, type(wanted))
    if isinstance(wanted, int | float):
        return isinstance(found, int | float) and not isinstance(found, bool) and not math.isnan(found)
    return True
