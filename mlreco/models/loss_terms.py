"""The terms of a loss with their denominators, so that the terms of several batches can be averaged."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mlreco.errors import UserError


class LossTerms(dict[str, Tensor]):
    """Scalars by name, and the weights of those that are means over something else than the loss is.

    A loss may return a plain dict as well: all its terms then count as the loss does.

    Args:
        values: () floating point by name.
        weights: by the name of a term its denominator, (): the number of voxels or events over which it is a mean. Of
            a term without one it is that of the loss (:meth:`mlreco.models.stage.StageLoss.weight`).
    """

    def __init__(self, values: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(values)
        self.weights = dict(weights or {})

    @classmethod
    def joined(cls, losses: Mapping[str, Mapping[str, Tensor]]) -> LossTerms:
        """Return the terms of several losses as ``<loss>_<term>``.

        Raises:
            UserError: a loss has no term ``loss``, a term or weight is no scalar, or a weight belongs to no term.
        """
        joined = cls({})
        for name, terms in losses.items():
            if not isinstance(terms, Mapping) or not isinstance(terms.get("loss"), Tensor):
                raise UserError(f"the loss of {name} must return a mapping of scalars in which 'loss' is a tensor")
            device = terms["loss"].device
            for term, value in terms.items():
                joined[f"{name}_{term}"] = _scalar(value, device, f"the loss of {name}: '{term}'")
            for term, weight in terms.weights.items() if isinstance(terms, cls) else ():
                if term not in terms:
                    raise UserError(f"the loss of {name}: there is a weight for '{term}', but no such term")
                joined.weights[f"{name}_{term}"] = _scalar(weight, device, f"the loss of {name}: weight of '{term}'")
        return joined


def _scalar(value: object, device: torch.device, what: str) -> Tensor:
    """Return a number, or a tensor with one, as a () tensor on the device."""
    if isinstance(value, Tensor) and value.shape == ():
        return value
    if isinstance(value, int | float):
        return torch.tensor(float(value), device=device)
    found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    raise UserError(f"{what} must be a scalar, not {found}; take its mean")
