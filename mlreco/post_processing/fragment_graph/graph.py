"""The graph of the fragments of one event: features of every fragment and of every pair in reach."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlreco.post_processing.clustering.embedded_voxels import checked_arrays
from mlreco.post_processing.fragment_graph.blocks import FragmentVoxels
from mlreco.post_processing.fragment_graph.contacts import track_contacts
from mlreco.post_processing.fragment_graph.labelled_graph import FragmentGraph
from mlreco.post_processing.fragment_graph.link_features import LINK_FEATURES, link_features
from mlreco.post_processing.fragment_graph.node_features import node_feature_names, node_features
from mlreco.post_processing.fragment_graph.pairs import Reach, pairs_in_reach
from mlreco.post_processing.fragment_graph.shapes import fragment_shapes
from mlreco.post_processing.fragment_graph.surroundings import surroundings
from mlreco.semantics import ClassScheme

RADIATING = ("Shower", "Michel", "Delta", "LowE")
"""Classes of electrons and photons, whose instances may have parts far from each other."""


def build_graph(
    event: Mapping[str, np.ndarray], fragments: np.ndarray, scheme: ClassScheme, reach: Reach | None = None
) -> FragmentGraph:
    """Compare the fragments of an event.

    Args:
        event: ``coordinates`` (N, 3) integers, ``energies`` (N,), ``embeddings`` (N, D), ``margins`` (N,),
            ``seediness`` (N,), ``scores`` (N, classes), ``semantics`` (N,) and ``image_shape`` (3,).
        fragments: (N,) integers from 0 without gaps, -1 for none; a fragment is of one class.
        scheme: names of the classes.
        reach: which pairs are compared.

    Raises:
        UserError: shapes that do not fit, or a value that is not finite.
    """
    embeddings, margins, seediness = checked_arrays(event["embeddings"], event["margins"], event["seediness"])
    voxels = FragmentVoxels.sort(event["coordinates"], fragments)
    values = {
        "energies": np.asarray(event["energies"], np.float64),
        "embeddings": embeddings,
        "margins": margins,
        "seediness": seediness,
        "scores": event["scores"],
    }
    values = {name: array.take(voxels.rows, axis=0) for name, array in values.items()}
    classes = event["semantics"][voxels.rows][voxels.starts[:-1]].astype(np.int8)
    radiating = np.isin(classes, [scheme.number(name) for name in RADIATING if name in scheme.classes])
    shapes = fragment_shapes(voxels.positions, values["energies"], voxels.starts)
    pairs = pairs_in_reach(voxels, classes, radiating, reach or Reach())
    fragment_at = np.repeat(np.arange(len(voxels)), voxels.sizes)
    around = surroundings(voxels, values["energies"], fragment_at, pairs.places)
    contacts = track_contacts(voxels, pairs, radiating)
    return FragmentGraph(
        node_features(voxels, shapes, pairs, contacts, values, classes, event["image_shape"]),
        pairs.fragments.astype(np.int32),
        link_features(voxels, shapes, pairs, around, contacts, values, classes),
        classes,
        voxels.sizes.astype(np.int32),
    )


def feature_counts(scheme: ClassScheme) -> tuple[int, int]:
    """Return the number of features of a fragment and of a pair."""
    return len(node_feature_names(scheme)), len(LINK_FEATURES)
