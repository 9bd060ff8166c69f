"""Stages of the chains of lartpc_mlreco3d and SPINE: their blocks, and what this program lacks for them."""

from __future__ import annotations

STAGES_HERE = ("uresnet", "spice")
"""Stages that are translated."""

MISSING: dict[str, str] = {
    "cosmic_discriminator": "a classifier of interactions by an image encoder",
    "calibration": "corrections of charge by detector calibrations",
    "discriminative_loss": "an embedding in pixel space without margins and seediness",
    "edge_model": "a graph network over fragments",
    "flashmatching": "a network that matches light with interactions",
    "full_cnn": "one encoder with heads for classes, points and embeddings",
    "full_event": "one encoder with heads for classes, points and embeddings",
    "graph_spice": "an embedding with a kernel that scores the edges of a graph of neighbouring voxels",
    "grappa": "a graph network over fragments or particles (GrapPA), whose options differ from those of 'grappa' here",
    "image_class": "a classifier of whole images",
    "interaction": "a graph network over particles (GrapPA)",
    "node_model": "a graph network over fragments",
    "particle": "a graph network over fragments (GrapPA)",
    "ppn": "a decoder that proposes points of interest (PPN)",
    "track": "a graph network over track fragments (GrapPA)",
    "uresnet_bayes": "dropout that stays on in inference",
    "uresnet_clustering": "an embedding in pixel space without margins and seediness",
    "uresnet_deghost": "a network that removes ghost points",
    "vertex": "a network that proposes vertices",
}
"""First letters of the name of a block -> what this program would need for it."""

ENABLED_BY: dict[str, tuple[str, ...]] = {
    "enable_uresnet": ("uresnet",),
    "enable_ppn": ("ppn",),
    "enable_cnn_clust": ("spice", "graph_spice"),
    "enable_dbscan": ("dbscan",),
    "enable_gnn_shower": ("grappa_shower", "particle"),
    "enable_gnn_track": ("grappa_track", "track"),
    "enable_gnn_tracks": ("grappa_track", "track"),
    "enable_gnn_particle": ("grappa_particle",),
    "enable_gnn_inter": ("grappa_inter", "interaction"),
    "enable_gnn_int": ("grappa_inter", "interaction"),
    "enable_gnn_kinematics": ("grappa_kinematics",),
    "enable_kinematics": ("grappa_kinematics",),
    "enable_cosmic": ("cosmic_discriminator", "cosmic_loss"),
    "enable_ghost": ("uresnet_deghost",),
}
"""Switch in the block ``chain`` -> first letters of the blocks that it turns on."""


def needs(block: str) -> str | None:
    """Return what this program would need for a block without counterpart; None for blocks that are no stage."""
    fitting = [name for name in MISSING if block.startswith(name)]
    return MISSING[max(fitting, key=len)] if fitting else None
