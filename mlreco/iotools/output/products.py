"""The products of an output file: what a row of each is, which numbers it holds, and what these stand for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

VOXELS, EVENT = "voxels", "event"
FRAGMENTS, PAIRS, INSTANCES = "fragments", "pairs of fragments", "instances"
GRAPH, GRAPH_PAIRS = "fragments of the graph", "pairs of the graph"
PARTICLES, TRUE_PARTICLES, INTERACTIONS, STEPS = "particles", "true particles", "interactions", "steps of tracks"
CLASSES = "classes"
"""What rows can be, and numbers can stand for."""

AT_LEAST_3 = "3 or more"
"""How many numbers an embedding has: in the first three a voxel's position is added to what the network says."""

_INT32, _INT64 = np.iinfo(np.int32).max, np.iinfo(np.int64).max
_LARGEST_CLASS = 127


class Product(NamedTuple):
    """A product whose rows are plain numbers.

    Attributes:
        rows: what has a row in it; products of the same rows have equally many in every event.
        kinds: kinds of its numbers, letters of NumPy.
        shape: of a row; None: any length, ``AT_LEAST_3``, ``CLASSES``: as many as the file has classes, where it tells.
        least: no number is below; -1 stands for none.
        greatest: no number is above.
        numbers: what its numbers stand for: the rows of other products, from the first of the event, or classes.
    """

    rows: str
    kinds: str
    shape: tuple[int | str | None, ...] = ()
    least: float = -np.inf
    greatest: float = np.inf
    numbers: str | None = None


PRODUCTS: dict[str, Product] = {
    "coordinates": Product(VOXELS, "iu", (3,), 0, _INT32),
    "energies": Product(VOXELS, "f", (), 0),
    "semantics": Product(VOXELS, "iu", (), -1, _LARGEST_CLASS),
    "semantics_predicted": Product(VOXELS, "iu", (), -1, _LARGEST_CLASS),
    "semantics_true": Product(VOXELS, "iu", (), -1, _LARGEST_CLASS),
    "semantic_scores": Product(VOXELS, "f", (CLASSES,)),
    "fragments": Product(VOXELS, "iu", (), -1, _INT64, FRAGMENTS),
    "instances": Product(VOXELS, "iu", (), -1, _INT64, INSTANCES),
    "instances_true": Product(VOXELS, "iu", (), -1, _INT64),
    "interactions_true": Product(VOXELS, "iu", (), -1, _INT64),
    "embeddings": Product(VOXELS, "f", (AT_LEAST_3,)),
    "margins": Product(VOXELS, "f", (), 0),
    "seediness": Product(VOXELS, "f"),
    "fragment_classes": Product(FRAGMENTS, "iu", (), -1, _LARGEST_CLASS, CLASSES),
    "fragment_class_scores": Product(FRAGMENTS, "f", (CLASSES,)),
    "fragment_start_scores": Product(FRAGMENTS, "f"),
    "fragment_edges": Product(PAIRS, "iu", (2,), 0, _INT64, FRAGMENTS),
    "fragment_edge_scores": Product(PAIRS, "f"),
    "fragment_interaction_scores": Product(PAIRS, "f"),
    "instance_confidences": Product(INSTANCES, "f"),
    "instance_interactions": Product(INSTANCES, "iu", (), 0, _INT64),
    "graph_nodes": Product(GRAPH, "f", (None,)),
    "graph_classes": Product(GRAPH, "iu", (), -1, _LARGEST_CLASS, CLASSES),
    "graph_sizes": Product(GRAPH, "iu", (), 0, _INT64),
    "graph_edges": Product(GRAPH_PAIRS, "iu", (2,), 0, _INT64, GRAPH),
    "graph_links": Product(GRAPH_PAIRS, "f", (None,)),
    "truth_instances": Product(GRAPH, "iu", (), -1, _INT64),
    "truth_semantics": Product(GRAPH, "iu", (), -1, _LARGEST_CLASS, CLASSES),
    "truth_interactions": Product(GRAPH, "iu", (), -1, _INT64),
    "truth_purities": Product(GRAPH, "f", (), 0, 1),
    "truth_starts": Product(GRAPH, "iu", (), -1, 1),
    "event_id": Product(EVENT, "iu", (3,)),
    "source": Product(EVENT, "iu", (2,)),
    "image_shape": Product(EVENT, "iu", (3,)),
    "image_origin": Product(EVENT, "f", (3,)),
    "voxel_size": Product(EVENT, "f", (3,), float(np.finfo(np.float32).tiny)),
    "in_true_classes": Product(EVENT, "iu", (), 0, 1),
    "times": Product(EVENT, "f", (None,)),
}
"""Products of plain numbers by name. Those of plugins are not listed; they may have any numbers."""


class Table(NamedTuple):
    """A product whose rows have named numbers.

    Attributes:
        rows: what has a row in it.
        key: the column with the number of the row, from 0, which no other row of the event has; None where rows have
            no number.
        references: column -> table whose key it holds, -1 for none.
    """

    rows: str
    key: str | None
    references: dict[str, str]


TABLES: dict[str, Table] = {
    "particles": Table(PARTICLES, "particle", {"parent": "particles", "interaction": "interactions"}),
    "particles_true": Table(TRUE_PARTICLES, "particle", {"parent": "particles_true"}),
    "interactions": Table(INTERACTIONS, "interaction", {}),
    "track_dedx": Table(STEPS, None, {"particle": "particles"}),
    "matches": Table(PARTICLES, "particle", {"particle": "particles", "match": "particles_true"}),
    "matches_true": Table(TRUE_PARTICLES, "particle", {"particle": "particles_true", "match": "particles"}),
}
"""Products of named numbers by name; what they measure stands in :mod:`mlreco.particles`."""


def rows_of(name: str) -> str | None:
    """Return what has a row in a product; None for those that are not known."""
    found = PRODUCTS.get(name) or TABLES.get(name)
    return found.rows if found else None


def check_product(
    name: str,
    dtype: np.dtype,
    row_shape: tuple[int, ...],
    columns: tuple[str, ...] | None,
    classes: int | None = None,
) -> None:
    """Check the type of a product.

    Args:
        name: the product.
        dtype: type of its numbers.
        row_shape: shape of a row.
        columns: names of its columns, where the file has them.
        classes: how many classes there are, where the file tells.

    Raises:
        ValueError: it does not fit its name.
    """
    if dtype.names is not None:
        _check_record(name, dtype, row_shape)
        return
    if dtype.kind not in "biuf":
        raise ValueError(f"holds {dtype} and no numbers")
    if columns is not None and (len(row_shape) != 1 or len(columns) != row_shape[0]):
        raise ValueError(f"has {len(columns)} names of columns for rows {row_shape}")
    if name in TABLES:
        raise ValueError(f"holds plain numbers and no column '{next(iter(_numbered(TABLES[name])))}'")
    if name not in PRODUCTS:
        return
    product = PRODUCTS[name]
    shape = tuple(classes if size == CLASSES else size for size in product.shape)
    fits = len(shape) == len(row_shape) and all(map(_fits, shape, row_shape))
    if dtype.kind not in product.kinds or not fits:
        wanted = "whole numbers" if product.kinds == "iu" else "floats"
        raise ValueError(f"holds {dtype} with rows {row_shape}; rows {shape} of {wanted} are needed")


def _fits(wanted: int | str | None, found: int) -> bool:
    return found >= 3 if wanted == AT_LEAST_3 else wanted in (None, found)


def _numbered(table: Table) -> dict[str, None]:
    """Return the names of the columns of a table that hold numbers of rows."""
    return dict.fromkeys((*((table.key,) if table.key else ()), *table.references))


def _check_record(name: str, dtype: np.dtype, row_shape: tuple[int, ...]) -> None:
    """Check a table whose rows have named numbers."""
    if name in PRODUCTS:
        raise ValueError(f"holds rows of {len(dtype.names or ())} named numbers where plain ones are needed")
    for field in dtype.names or ():
        if dtype[field].kind not in "biuf" or dtype[field].shape:
            raise ValueError(f"holds '{field}', which is {dtype[field]} and no number")
    if row_shape:
        raise ValueError(f"has rows {row_shape} of named numbers")
    for field in _numbered(TABLES[name]) if name in TABLES else ():
        if field not in (dtype.names or ()):
            raise ValueError(f"has no column '{field}'")
        if dtype[field].kind not in "iu":
            raise ValueError(f"holds '{field}' as {dtype[field]}; whole numbers are needed")


def check_values(name: str, values: np.ndarray) -> None:
    """Check the numbers of a product one by one: finite, and not below or above what they can be.

    Args:
        name: the product.
        values: some rows of it.

    Raises:
        ValueError: a number that makes no sense; names it.
    """
    if name not in PRODUCTS or not values.size:
        return
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"holds {values[~np.isfinite(values)][0]}")
    product = PRODUCTS[name]
    if product.least == -np.inf and product.greatest == np.inf:
        return
    lowest, highest = values.min(), values.max()
    if lowest < product.least or highest > product.greatest:
        raise ValueError(f"holds {lowest if lowest < product.least else highest}, which is out of range")
