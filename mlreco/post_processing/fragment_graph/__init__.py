"""The fragment graph: fragments of voxels, features of fragments and of pairs, and instances made of fragments."""

from mlreco.post_processing.fragment_graph.fragmenting import make_fragments, resolve_fragment_thresholds
from mlreco.post_processing.fragment_graph.graph import (
    FEATURE_VERSION,
    FragmentGraph,
    LabelledGraph,
    build_graph,
    feature_counts,
)
from mlreco.post_processing.fragment_graph.pairs import Reach
from mlreco.post_processing.fragment_graph.truth import FragmentTruth, fragment_truth

__all__ = [
    "FEATURE_VERSION",
    "FragmentGraph",
    "FragmentTruth",
    "LabelledGraph",
    "Reach",
    "build_graph",
    "feature_counts",
    "fragment_truth",
    "make_fragments",
    "resolve_fragment_thresholds",
]
