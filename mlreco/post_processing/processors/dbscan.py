"""Post-processor ``dbscan``: the baseline, density clusters of the voxel coordinates of each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.cluster import DBSCAN

from mlreco.errors import UserError
from mlreco.post_processing.clustering.fragments import fragments_by_class
from mlreco.post_processing.processor import PostProcessor
from mlreco.semantics import PILARNET, ClassScheme

TOUCHING = 1.999
"""Distance in voxels within which two voxels share at least a corner."""


class DbscanFragments(PostProcessor):
    """Adds the clusters of scikit-learn's DBSCAN, class by class, in voxel coordinates; noise is -1.

    Args:
        class_scheme: the classes.
        eps: reach in voxels, one for all classes or by class name (default 1.999, which joins voxels that touch).
        min_samples: neighbours, itself included, that make a voxel a core: one for all or by class name (default 1,
            which leaves no noise).
        product: name of the product, (N,) int32.

    Raises:
        UserError: an unknown class or a value that is not positive.
    """

    requires = ("coordinates", "semantics")

    def __init__(
        self,
        class_scheme: ClassScheme = PILARNET,
        eps: float | dict[str, float] = TOUCHING,
        min_samples: int | dict[str, int] = 1,
        product: str = "fragments_dbscan",
    ) -> None:
        self.eps = _by_class("eps", eps, TOUCHING, class_scheme)
        self.min_samples = _by_class("min_samples", min_samples, 1, class_scheme)
        self.product = product
        self.provides = (product,)

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the clusters of an event."""
        coordinates, semantics = (event[name] for name in self.requires)

        def cluster(name: str, rows: np.ndarray) -> np.ndarray:
            return DBSCAN(eps=self.eps[name], min_samples=int(self.min_samples[name])).fit_predict(coordinates[rows])

        return {self.product: fragments_by_class(semantics, len(coordinates), cluster, scheme)}


def _by_class(key: str, given: float | Mapping[str, float], default: float, scheme: ClassScheme) -> dict[str, float]:
    """Return a positive value for every class name."""
    if isinstance(given, Mapping):
        values = {
            **dict.fromkeys(scheme.classes, default),
            **{scheme.classes[scheme.number(n)]: given[n] for n in given},
        }
    else:
        values = dict.fromkeys(scheme.classes, given)
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise UserError(f"dbscan: {key} of {name} is {value!r}; a number above 0 is needed")
    return values
