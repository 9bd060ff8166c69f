"""The fragment graph of an event and the truth of its fragments, as files hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlreco.post_processing.fragment_graph.truth import FragmentTruth

FEATURE_VERSION = 2
"""To be raised whenever the meaning of a feature changes: weights of another version are refused."""


@dataclass(frozen=True)
class FragmentGraph:
    """Fragments of an event and the pairs of them that are compared.

    Attributes:
        nodes: (F, ...) float32, columns ``node_feature_names``.
        edges: (E, 2) int32 fragment numbers, the larger fragment first.
        links: (E, ...) float32, columns ``LINK_FEATURES``.
        classes: (F,) int8 class in which each fragment was made.
        sizes: (F,) int32 voxels of each fragment.
    """

    nodes: np.ndarray
    edges: np.ndarray
    links: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class LabelledGraph:
    """The graph of an event and, where there are labels, the truth of its fragments."""

    graph: FragmentGraph
    truth: FragmentTruth | None = None
