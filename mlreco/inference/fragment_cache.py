"""Fragment graphs of events in a file, from which ``grappa`` is trained."""

from __future__ import annotations

from pathlib import Path

from mlreco.config import Config
from mlreco.errors import UserError
from mlreco.inference.run import InferenceSummary, run_inference
from mlreco.models.blocks import WEIGHT_KEYS, read_blocks
from mlreco.models.factories import construct
from mlreco.post_processing.fragment_graph import FEATURE_VERSION
from mlreco.post_processing.fragment_graph.link_features import LINK_FEATURES
from mlreco.post_processing.fragment_graph.node_features import node_feature_names
from mlreco.semantics import class_scheme

KEPT = ("graph_", "truth_", "event_id", "source")
"""Beginnings of the names of the products that the file holds."""


def cache_fragments(config: Config, output: str | Path, *, weights: str | Path | None = None) -> InferenceSummary:
    """Write the fragment graphs of a configuration's events, with the truth of the fragments where there are labels.

    The chain runs up to its stage ``fragmenter``; stages that build on the graphs, and post-processing, do not run.

    Args:
        config: a checked configuration whose chain has a stage ``fragmenter``.
        output: HDF5 file to write; it appears only when complete.
        weights: checkpoint that comes before those that the configuration names.

    Raises:
        UserError: what ``run_inference`` refuses, or a chain without a stage that makes fragment graphs.
    """
    model = config["model"]
    stages = {block.name: construct(block.stage)[0] for block in read_blocks(model["modules"])}
    makers = [name for name, stage in stages.items() if "fragment_graph" in stage.provides]
    if not makers:
        raise UserError("model.modules has no stage 'fragmenter', which cuts events into fragments")
    left = [name for name, stage in stages.items() if "fragment_graph" not in stage.requires]
    modules = {name: dict(model["modules"][name] or {}) for name in left}
    modules[makers[0]]["write_graphs"] = True
    values = config.to_dict()
    values["model"]["modules"], values["post_processing"] = modules, {}
    scheme = class_scheme(model["class_scheme"])
    info = {
        "feature_version": FEATURE_VERSION,
        "node_features": list(node_feature_names(scheme)),
        "link_features": list(LINK_FEATURES),
        "fragmenter": {k: v for k, v in modules[makers[0]].items() if k not in WEIGHT_KEYS},
    }
    return run_inference(
        Config(values, config.path, config.text, config.notices),
        output,
        weights=weights,
        keep=lambda name: name.startswith(KEPT),
        info=info,
    )
