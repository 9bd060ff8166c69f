"""Graphs of fragments."""

from __future__ import annotations

from mlreco.post_processing.fragment_graph import LabelledGraph


def parse_fragment_graph(graph_event: LabelledGraph) -> LabelledGraph:
    """Return the graph of the fragments of an event, as ``mlreco fragments`` wrote it."""
    return graph_event
