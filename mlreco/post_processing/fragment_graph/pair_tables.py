"""Scores of pairs of fragments, from ``grappa`` for ``graph_clusterer``: large, and written on request only."""

PAIR_TABLES = ("fragment_edges", "fragment_edge_scores", "fragment_interaction_scores")
"""Names of the products."""


def where_written(product: str) -> str:
    """Return how to have a product of pairs written, for the message that an output lacks it; for others nothing."""
    if product not in PAIR_TABLES:
        return ""
    return (
        "; what the graph network says of pairs is written by 'inference --set model.modules.grappa.write_pairs=true'"
    )
