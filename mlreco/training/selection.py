"""The best of the validated networks, and the number of validations since."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from mlreco.errors import UserError, nearest


@dataclass(frozen=True)
class Selection:
    """The best network so far.

    Attributes:
        iteration: iteration of the best network; 0 before the first validation.
        value: of the number that is compared.
        misses: validations since then.
        validated: iteration of the last validation.
        pending: iteration whose validation is running; 0 for none.
    """

    iteration: int = 0
    value: float = math.nan
    misses: int = 0
    validated: int = 0
    pending: int = 0

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Selection:
        """Return the selection of :meth:`state`."""
        return cls(**{one.name: state[one.name] for one in fields(cls) if one.name in state})

    def state(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def after(self, iteration: int, numbers: Mapping[str, float], name: str) -> Selection:
        """Return the selection after another validation.

        Args:
            iteration: when it was.
            numbers: what it gave.
            name: of the number that is compared: the smaller the better for losses, the larger for all others.

        Raises:
            UserError: there is no such number.
        """
        require_number(numbers, name)
        value = numbers[name]
        better = value < self.value if smaller_is_better(name) else value > self.value
        if not math.isnan(value) and (better or math.isnan(self.value)):
            return Selection(iteration, value, 0, iteration)
        return replace(self, misses=self.misses + 1, validated=iteration, pending=0)


def smaller_is_better(name: str) -> bool:
    """Tell whether the smallest of the numbers of that name is the best: of losses, unlike all others."""
    return "loss" in name


def require_number(numbers: Mapping[str, float], name: str) -> None:
    """Check that a number is known.

    Raises:
        UserError: it is not.
    """
    if name not in numbers:
        raise UserError(f"trainval.best: the validation has no number '{name}'{nearest(name, numbers)}")
