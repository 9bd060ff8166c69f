"""Which product of an event holds its predicted instances, and whether they were made in predicted classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

IN_TRUE_CLASSES = "in_true_classes"
"""Product that stages make beside ``semantics``: 1 for an event that is clustered in true classes, else 0."""
INSTANCES, FRAGMENTS = "instances", "fragments"


def predicted_instances(products: Collection[str]) -> str:
    """Return the name of the product that holds the predicted instances: ``fragments`` where there are no better ones.

    Args:
        products: names of the products of an event or a file.
    """
    return INSTANCES if INSTANCES in products else FRAGMENTS


def predicted_classes(products: Collection[str]) -> str:
    """Return the name of the product with the predicted class of each voxel: ``semantics`` where it was corrected.

    Args:
        products: names of the products of an event or a file.
    """
    return "semantics" if INSTANCES in products else "semantics_predicted"


def is_in_true_classes(event: Mapping[str, Any]) -> bool:
    """Tell whether an event was clustered in true classes; not if it has no mark, as in files of earlier versions."""
    return bool(np.any(event.get(IN_TRUE_CLASSES, 0)))
