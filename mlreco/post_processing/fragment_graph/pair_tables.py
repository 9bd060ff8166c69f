"""What ``grappa`` says of pairs of fragments: read by ``graph_clusterer``, and large, so not written unless asked."""

PAIR_TABLES = ("fragment_edges", "fragment_edge_scores", "fragment_interaction_scores")
"""Names of the products."""


def where_written(product: str) -> str:
    """Return what to add to a message that an output lacks a product: how to have it written; else nothing."""
    if product not in PAIR_TABLES:
        return ""
    return (
        "; what the graph network says of pairs is written by 'inference --set model.modules.grappa.write_pairs=true'"
    )
