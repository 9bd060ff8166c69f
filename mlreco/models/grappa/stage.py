"""Stage ``grappa``: which fragments belong together, and what they are (after GrapPA, arXiv:2007.01335)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mlreco.errors import UserError
from mlreco.graph_batch import GraphBatch
from mlreco.models.event_rows import EventRows
from mlreco.models.grappa.folded import folded
from mlreco.models.grappa.loss import GrappaLoss
from mlreco.models.grappa.network import Rounds, head
from mlreco.models.layers.class_offsets import ClassOffsets
from mlreco.models.stage import StageLoss
from mlreco.post_processing.fragment_graph import FEATURE_VERSION, feature_counts
from mlreco.post_processing.fragment_graph.node_features import GEOMETRY
from mlreco.post_processing.fragment_graph.pair_tables import PAIR_TABLES
from mlreco.semantics import ClassScheme


class Grappa(nn.Module):
    """A graph network over the fragments of an event.

    It scores each pair in reach (same instance, same interaction) and each fragment (class, holds the start of its
    particle). The instances are made of these scores by the post-processor ``graph_clusterer``.

    Args:
        class_scheme: numbering of the classes.
        width: of the states of fragments.
        link_width: of the states of pairs, a multiple of 8.
        rounds: of message passing.
        write_pairs: whether the three tables of pairs are written to the output; ``mlreco tune --clusterer graph``, and
            ``mlreco recluster`` with ``graph_clusterer``, read them.
        class_offsets: added outside of training to the logits of the classes of fragments, by class name; 0 where not
            given. The loss sees the logits without them.

    Raises:
        UserError: a width or number of rounds that is too small, an unknown class, or an offset that is not finite.

    Attributes:
        unwritten: names of the products that are dropped once the post-processors have read them.
    """

    requires: tuple[str, ...] = ("fragment_graph",)
    provides: tuple[str, ...] = (
        "fragment_classes",
        "fragment_class_scores",
        "fragment_start_scores",
        *PAIR_TABLES,
    )
    Loss: type[StageLoss] = GrappaLoss
    depth = 1

    def __init__(
        self,
        class_scheme: ClassScheme,
        width: int = 64,
        link_width: int = 32,
        rounds: int = 3,
        write_pairs: bool = False,
        class_offsets: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.unwritten = () if write_pairs else PAIR_TABLES
        if min(width, link_width) < 1 or rounds < 0:
            raise UserError(f"width, link_width and rounds are {width}, {link_width} and {rounds}; too few")
        nodes, links = feature_counts(class_scheme)
        self.classes = slice(len(GEOMETRY), len(GEOMETRY) + len(class_scheme))
        self.register_buffer("feature_version", torch.tensor(FEATURE_VERSION))
        self.rounds = Rounds(nodes, links, width, link_width, rounds)
        self.link_head = head(link_width, 2)
        self.node_head = head(width, len(class_scheme) + 1)
        self.class_offsets = ClassOffsets(class_scheme, class_offsets)

    def check_state(self, state: Mapping[str, torch.Tensor], source: str) -> None:
        """Refuse weights that were trained on another version of the features.

        Raises:
            UserError: they were.
        """
        version = int(state["feature_version"]) if "feature_version" in state else 0
        if version != FEATURE_VERSION:
            raise UserError(
                f"{source}: trained on version {version} of the features of fragments, this mlreco makes version "
                f"{FEATURE_VERSION}; cache the fragments and train again"
            )

    def forward(self, products: Mapping[str, Any]) -> dict[str, Any]:
        """Return the scores of pairs (log-odds) and of fragments (probabilities), and the logits for the loss.

        They are computed in float32, also where the rest of the chain is in half precision: the weights of pairs are
        exponentials, the largest of which float16 does not hold.
        """
        graph: GraphBatch = products["fragment_graph"]
        with torch.autocast(graph.nodes.device.type, enabled=False):
            return self._scores(graph)

    def _scores(self, graph: GraphBatch) -> dict[str, Any]:
        edges = graph.local_edges()
        fragments, pairs = self._outputs(graph, edges)
        prior = torch.log(graph.nodes[:, self.classes] + 1e-3)
        logits = {
            "instance": pairs[:, 0],
            "interaction": pairs[:, 1],
            "class": fragments[:, :-1] + prior,
            "start": fragments[:, -1],
        }
        of_nodes = {
            "fragment_classes": graph.classes,
            "fragment_class_scores": self.class_offsets(logits["class"]).softmax(dim=1),
            "fragment_start_scores": torch.sigmoid(logits["start"]),
        }
        of_edges = {
            "fragment_edges": edges,
            "fragment_edge_scores": logits["instance"],
            "fragment_interaction_scores": logits["interaction"],
        }
        return {
            "graph_logits": logits,
            **{name: EventRows(values, graph.node_counts) for name, values in of_nodes.items()},
            **{name: EventRows(values, graph.edge_counts) for name, values in of_edges.items()},
        }

    def _outputs(self, graph: GraphBatch, edges: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the outputs of the heads for the fragments and for the pairs.

        Without gradients on a CPU the events are computed one after the other: their data stay in the processor's
        caches, and results depend to the last bit on the event alone.

        Args:
            graph: of the batch.
            edges: (E, 2) its pairs in fragment numbers of their own event.
        """
        if torch.is_grad_enabled() or not graph.nodes.is_cpu:
            return self._of_graph(graph.nodes, graph.links, graph.edges)
        nodes, links = graph.nodes.split(graph.node_counts), graph.links.split(graph.edge_counts)
        parts = zip(nodes, links, edges.split(graph.edge_counts), strict=True)
        network = folded(self.rounds, self.node_head, self.link_head) or self._of_graph
        fragments, pairs = zip(*(network(*part) for part in parts), strict=True)
        return torch.cat(fragments), torch.cat(pairs)

    def _of_graph(
        self, nodes: torch.Tensor, links: torch.Tensor, edges: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        nodes, links = self.rounds(nodes, links, edges)
        return self.node_head(nodes), self.link_head(links)
