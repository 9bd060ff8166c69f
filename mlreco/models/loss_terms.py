"""The terms of a loss with their denominators, so that the terms of several batches can be averaged."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


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
        """Return the terms of several losses as ``<loss>_<term>``."""
        values = {f"{name}_{term}": value for name, terms in losses.items() for term, value in terms.items()}
        own = {name: terms.weights for name, terms in losses.items() if isinstance(terms, cls)}
        return cls(values, {f"{name}_{term}": weight for name, of in own.items() for term, weight in of.items()})
