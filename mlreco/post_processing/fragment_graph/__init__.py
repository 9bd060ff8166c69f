"""The fragment graph: fragments of voxels, features of fragments and of pairs, and instances made of fragments.

Files hold graphs, and who reads one should not wait for what makes them, which numba compiles.
"""

from __future__ import annotations

from mlreco.on_demand import on_demand
from mlreco.post_processing.fragment_graph.labelled_graph import FEATURE_VERSION, FragmentGraph, LabelledGraph
from mlreco.post_processing.fragment_graph.truth import FragmentTruth, fragment_truth

_HOMES = {
    "Reach": "mlreco.post_processing.fragment_graph.pairs",
    "build_graph": "mlreco.post_processing.fragment_graph.graph",
    "feature_counts": "mlreco.post_processing.fragment_graph.graph",
    "make_fragments": "mlreco.post_processing.fragment_graph.fragmenting",
    "resolve_fragment_thresholds": "mlreco.post_processing.fragment_graph.fragmenting",
}

__all__ = ["FEATURE_VERSION", "FragmentGraph", "FragmentTruth", "LabelledGraph", "fragment_truth", *_HOMES]

__getattr__ = on_demand(__name__, _HOMES)
