"""Which product of an event holds its predicted instances."""

from __future__ import annotations

from collections.abc import Collection

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
