"""Weights of classes in a loss, by their names."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mlreco.errors import UserError
from mlreco.semantics import ClassScheme


def class_weight_vector(scheme: ClassScheme, given: Mapping[str, float] | None, key: str) -> Tensor:
    """Return (C,) float32, the weight of every class: 1 for a class that is not named.

    Args:
        scheme: numbering of the classes.
        given: weight by class name.
        key: name of the setting, for errors.

    Raises:
        UserError: an unknown class name, or a weight that is negative or not finite.
    """
    weights = torch.ones(len(scheme))
    for name, weight in (given or {}).items():
        if not 0.0 <= weight < math.inf:
            raise UserError(f"{key}.{name} is {weight}; a weight is finite and not negative")
        weights[scheme.number(name)] = weight
    return weights
