"""Stage ``fragmenter``: makes the fragment graph of every event. It has no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mlreco.errors import UserError
from mlreco.graph_batch import join_graphs
from mlreco.models.event_rows import EventRows
from mlreco.models.labels import Labels
from mlreco.models.layers.by_row import softmax_by_row
from mlreco.models.stage import StageLoss
from mlreco.post_processing.fragment_graph import (
    FragmentTruth,
    LabelledGraph,
    Reach,
    build_graph,
    fragment_truth,
    make_fragments,
    resolve_fragment_thresholds,
)
from mlreco.post_processing.predicted import IN_TRUE_CLASSES
from mlreco.post_processing.settings.class_values import Given
from mlreco.semantics import ClassScheme

VOXEL_PRODUCTS = ("embeddings", "margins", "seediness", "semantics")


class NoLoss(StageLoss):
    """The loss of a stage without weights, which is 0."""

    def __init__(self, class_scheme: ClassScheme) -> None:
        super().__init__()

    def forward(self, products: Mapping[str, Any], labels: Labels) -> dict[str, torch.Tensor]:
        """Return ``loss``, a 0."""
        return {"loss": torch.zeros((), device=products["fragment_graph"].nodes.device)}


class Fragmenter(nn.Module):
    """Makes fragments of all classes, too small on purpose, and the features that ``grappa`` reads.

    Args:
        class_scheme: numbering of the classes.
        thresholds: class name -> ``{voxel_distance, embedding_distance, score_distance, smallest}``, or the path of a
            file with such.
        near: distance in voxels up to which any two fragments are compared.
        far: distance up to which a fragment is compared with a large one.
        large: voxels from which a fragment is large.
        trunk: voxels from which a fragment of a shower, Michel electron or delta ray is compared with every smaller
            one, however far.
        most: partners beyond ``near`` that a fragment has at most: those nearest for their size.
        foreign: how many times as far a partner of another class counts among these.
        semantics: ``predicted`` where SPICE clusters in the classes of the segmentation, whose scores are then features
            of the fragments; ``true`` where it clusters in other classes: then each voxel's score is 1 for its class.
        write_graphs: whether graphs and the truth of fragments become products; ``mlreco fragments`` sets it.
    """

    requires: tuple[str, ...] = ("image", *VOXEL_PRODUCTS)
    provides: tuple[str, ...] = ("fragments", "fragment_graph")
    Loss: type[StageLoss] = NoLoss
    depth = 1

    def __init__(
        self,
        class_scheme: ClassScheme,
        thresholds: Given = None,
        near: float = Reach().near,
        far: float = Reach().far,
        large: int = Reach().large,
        trunk: int = Reach().trunk,
        most: int = Reach().most,
        foreign: float = Reach().foreign,
        semantics: str | bool = "predicted",
        write_graphs: bool = False,
    ) -> None:
        super().__init__()
        self.scheme = class_scheme
        self.thresholds = resolve_fragment_thresholds(thresholds, class_scheme)
        self.reach = Reach(float(near), float(far), int(large), int(trunk), int(most), float(foreign))
        if min(self.reach) < 0:
            raise UserError(f"near, far, large, trunk, most and foreign are {tuple(self.reach)}; none may be negative")
        self.semantics = "true" if semantics is True else semantics
        if self.semantics not in ("predicted", "true"):
            raise UserError(f"semantics is '{semantics}'; valid: predicted, true")
        if self.semantics == "predicted":
            self.requires = (*type(self).requires, "segmentation")
        self.write_graphs = write_graphs

    @torch.no_grad()
    def forward(self, products: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``fragments``, (N,) int32 on the rows of ``image``, ``fragment_graph``, and the scores of voxels.

        ``semantic_scores`` (N, C) float32, the probabilities of the segmentation, are there in predicted classes.
        """
        image, labels = products["image"], products["labels"]
        events = image.indices[:, 0].cpu().numpy()
        arrays = {name: products[name].detach().float().cpu().numpy() for name in VOXEL_PRODUCTS[:-1]}
        arrays["semantics"] = products["semantics"].cpu().numpy()
        scores = self._scores(products)
        arrays["scores"] = scores.cpu().numpy()
        arrays["coordinates"] = image.indices[:, 1:].cpu().numpy()
        arrays["energies"] = image.features[:, 3].detach().float().cpu().numpy()
        fragments, graphs = self._cut(arrays, events), []
        ends = np.searchsorted(events, np.arange(image.batch_size), side="right")
        for number, end in enumerate(ends):
            rows = slice(int(ends[number - 1]) if number else 0, int(end))
            event = {name: array[rows] for name, array in arrays.items()}
            event["image_shape"] = np.asarray(products["image_shapes"][number])
            graph = build_graph(event, fragments[rows], self.scheme, self.reach)
            wanted = self.training or self.write_graphs
            truth = _truth(fragments[rows], event, labels, rows, number) if wanted else None
            graphs.append(LabelledGraph(graph, truth))
        device = image.indices.device
        made: dict[str, Any] = {
            "fragments": torch.from_numpy(fragments).to(device),
            "fragment_graph": join_graphs(graphs).to(device),
        }
        if self.semantics == "predicted":
            made["semantic_scores"] = scores
        return {**made, **_tables(graphs)} if self.write_graphs else made

    def _cut(self, voxels: Mapping[str, np.ndarray], events: np.ndarray) -> np.ndarray:
        arrays = voxels["coordinates"], voxels["embeddings"], voxels["scores"], voxels["semantics"]
        return make_fragments(*arrays, self.thresholds, self.scheme, events)

    def _scores(self, products: Mapping[str, Any]) -> torch.Tensor:
        """Return the (N, C) float32 class scores."""
        semantics = products["semantics"]
        if self.semantics == "true":
            mark = products.get(IN_TRUE_CLASSES)
            if mark is not None and not mark.values.all():
                raise UserError(
                    "model.modules.fragmenter.semantics is 'true' and SPICE clusters in predicted classes; set it to"
                    " predicted"
                )
            return (semantics[:, None] == torch.arange(len(self.scheme), device=semantics.device)).float()
        if not torch.equal(semantics, products["segmentation"].argmax(dim=1)):
            raise UserError(
                "model.modules.fragmenter.semantics is 'predicted' and SPICE clusters in other classes; set it to true"
            )
        return softmax_by_row(products["segmentation"].detach().float())


def _tables(graphs: Sequence[LabelledGraph]) -> dict[str, EventRows]:
    """Return the graphs of events and the truth of their fragments as tables, under their names in the file."""
    tables = {}
    for part, beginning in (("graph", "graph_"), ("truth", "truth_")):
        parts = [getattr(one, part) for one in graphs]
        if any(one is None for one in parts):
            continue
        for field in parts[0].__dataclass_fields__:
            rows = [getattr(one, field) for one in parts]
            tables[f"{beginning}{field}"] = EventRows(torch.from_numpy(np.concatenate(rows)), tuple(map(len, rows)))
    return tables


def _truth(
    fragments: np.ndarray, event: Mapping[str, np.ndarray], labels: Labels, rows: slice, number: int
) -> FragmentTruth | None:
    """Return the truth of the fragments of an event, None where the labels have no instances or no classes."""
    if labels.instances is None or labels.semantics is None:
        return None
    instances, semantics = labels.instances[rows].cpu().numpy(), labels.semantics[rows].cpu().numpy()
    interactions = None if labels.interactions is None else labels.interactions[rows].cpu().numpy()
    first_steps = None if labels.first_steps is None else labels.first_steps[number]
    return fragment_truth(fragments, instances, semantics, interactions, event["coordinates"], first_steps)
