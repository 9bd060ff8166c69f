"""Give a trained graph network the columns of new features, to go on training it with them.

    mlreco fragments thin -s 'train_*.h5' -o fragments.h5
    python tools/widen_graph.py old.ckpt wide.ckpt --graphs fragments.h5
        --nodes log_gap_to_track beside_track --links same_track
    mlreco train grappa -s fragments.h5 --weights wide.ckpt

The features that are not named are those that the weights know, in the same order. What the network computes stays as
it is: the new columns have weights of 0, which learn at once, and are scaled by what the file of fragments holds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from changed_weights import exit_status, write_changed

from mlreco.checkpoints.file import read_checkpoint
from mlreco.errors import UserError
from mlreco.iotools.output.graphs import PRODUCT, FragmentReader
from mlreco.post_processing.fragment_graph import FEATURE_VERSION
from mlreco.post_processing.fragment_graph.link_features import LINK_FEATURES
from mlreco.post_processing.fragment_graph.node_features import node_feature_names
from mlreco.semantics import class_scheme

EVENTS = 500
"""Events of the file at most over which the mean and the deviation of a feature are taken."""


def main() -> int:
    """Read, widen, write; return 2 where that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="weights of a chain with grappa, of an older feature version")
    parser.add_argument("output", type=Path, help="file to write, for --weights")
    parser.add_argument("--graphs", type=Path, required=True, help="file of 'mlreco fragments' with the new features")
    parser.add_argument("--nodes", nargs="*", default=[], help="new features of fragments")
    parser.add_argument("--links", nargs="*", default=[], help="new features of pairs")
    arguments = parser.parse_args()

    def work() -> None:
        reader = FragmentReader(arguments.graphs)
        graphs = [reader.graph(k, PRODUCT.removeprefix("graph_")).graph for k in range(min(len(reader), EVENTS))]
        content = read_checkpoint(arguments.checkpoint)
        weights = dict(content.get("state_dict", {}))
        names = node_feature_names(class_scheme(reader.class_scheme))
        of_nodes = torch.cat([torch.as_tensor(graph.nodes) for graph in graphs])
        of_links = torch.cat([torch.as_tensor(graph.links) for graph in graphs])
        widen(weights, "node", names, arguments.nodes, of_nodes, arguments.checkpoint)
        widen(weights, "link", LINK_FEATURES, arguments.links, of_links, arguments.checkpoint)
        version = next(name for name in weights if name.endswith("feature_version"))
        weights[version] = torch.tensor(FEATURE_VERSION)
        write_changed(arguments.output, content, weights)

    return exit_status(work)


def widen(
    weights: dict[str, Any], kind: str, names: Sequence[str], new: Sequence[str], rows: torch.Tensor, path: Path
) -> None:
    """Put the columns of new features into an encoder of a state, in place.

    Args:
        weights: state of a chain with ``grappa``.
        kind: ``node`` or ``link``.
        names: of all features, in their order.
        new: those that the weights do not know.
        rows: (R, features) examples of all features.
        path: where the weights were read, for messages.

    Raises:
        UserError: there is no such encoder, a feature is unknown, or the weights know another number of features.
    """
    encoder = f"{kind}_encoder"
    found = next((name for name in weights if name.endswith(f"{encoder}.0.mean")), None)
    if found is None:
        raise UserError(f"{path}: has no '{encoder}'; it is no chain with grappa")
    unknown = [name for name in new if name not in names]
    if unknown:
        raise UserError(f"--{kind}s {unknown[0]}: no such feature; there are {', '.join(names)}")
    old = [column for column, name in enumerate(names) if name not in new]
    fill = [column for column, name in enumerate(names) if name in new]
    stem = found.removesuffix("0.mean")
    if len(weights[found]) != len(old):
        raise UserError(f"{path}: knows {len(weights[found])} features of its {encoder}, {len(old)} are not new")
    examples = rows[:, fill].double()
    layer = weights[f"{stem}1.weight"]
    for key, values in (
        (f"{stem}0.mean", examples.mean(dim=0)),
        (f"{stem}0.deviation", examples.std(dim=0, unbiased=False)),
        (f"{stem}1.weight", torch.zeros(len(layer), len(fill))),
    ):
        whole = weights[key].new_empty(*weights[key].shape[:-1], len(names))
        whole[..., old], whole[..., fill] = weights[key], values.to(whole.dtype)
        weights[key] = whole


if __name__ == "__main__":
    sys.exit(main())
