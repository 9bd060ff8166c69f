"""Post-processor ``graph_clusterer``: instances from the scores that ``grappa`` gives to fragments and their pairs."""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.post_processing.fragment_graph.partition import (
    LINKAGES,
    TOGETHER,
    confidences,
    group_instances,
    partition,
    resolve_graph_thresholds,
)
from mlreco.post_processing.predicted import is_in_true_classes
from mlreco.post_processing.processor import PostProcessor
from mlreco.post_processing.settings.class_values import GivenApart, given_in
from mlreco.semantics import PILARNET, ClassScheme


class GraphInstances(PostProcessor):
    """Puts fragments together and corrects their classes.

    Adds ``instances``, (N,) int32: the instance of each voxel, -1 for none; of each instance ``instance_confidences``,
    (K,) float32, see ``confidences``, and ``instance_interactions``, (K,) int32, see ``group_instances``; and replaces
    ``semantics`` by the most probable class of each voxel's fragment.

    Args:
        class_scheme: the classes.
        thresholds: class name -> ``{merge, attach, small}``, or the path of a file that ``mlreco tune --clusterer
            graph`` wrote; classes and values that are not named get those of ``partition.SHIPPED``. Under
            ``predicted_classes`` and ``true_classes`` such for events that were clustered in either
            (``in_true_classes``).
        linkage: ``average`` or ``sum``: how clusters of fragments are compared.
        correct_semantics: whether ``semantics`` is replaced.
        together: mean log-odds above which instances are of one interaction.

    Raises:
        UserError: an unknown class, key or linkage, or a value that is not finite.
    """

    requires = (
        "fragments",
        "fragment_classes",
        "fragment_class_scores",
        "fragment_edges",
        "fragment_edge_scores",
        "fragment_interaction_scores",
    )
    provides = ("instances", "instance_confidences", "instance_interactions", "semantics")

    def __init__(
        self,
        class_scheme: ClassScheme = PILARNET,
        thresholds: GivenApart = None,
        linkage: str = "average",
        correct_semantics: bool = True,
        together: float = TOGETHER,
    ) -> None:
        self._thresholds = tuple(
            resolve_graph_thresholds(given_in(thresholds, in_true), class_scheme) for in_true in (False, True)
        )
        self.thresholds, self.thresholds_in_true_classes = (
            {name: values._asdict() for name, values in of_classes.items()} for of_classes in self._thresholds
        )
        if linkage not in LINKAGES:
            raise UserError(f"no linkage '{linkage}'{nearest(linkage, LINKAGES)}")
        self.linkage = linkage
        self.correct_semantics = correct_semantics
        if not np.isfinite(together):
            raise UserError(f"together is {together:g}; a finite number is needed")
        self.together = together

    def process(self, event: dict[str, np.ndarray], scheme: ClassScheme) -> dict[str, np.ndarray]:
        """Return the instances of an event, their confidences and the classes of its voxels."""
        fragments, made_in, class_scores, edges, scores, together = (event[name] for name in self.requires)
        inside = fragments >= 0
        sizes = np.bincount(fragments[inside], minlength=len(made_in))
        classes = class_scores.argmax(axis=1) if len(class_scores) else made_in.astype(np.int64)
        thresholds = self._thresholds[is_in_true_classes(event)]
        of_fragment = partition(edges, scores, sizes, classes, thresholds, scheme, self.linkage)
        instances = np.full(len(fragments), -1, np.int32)
        instances[inside] = of_fragment[fragments[inside]]
        chosen = classes if self.correct_semantics else made_in
        semantics = np.full(len(fragments), -1, np.int8)
        semantics[inside] = chosen[fragments[inside]]
        return {
            "instances": instances,
            "instance_confidences": confidences(of_fragment, edges, scores, sizes),
            "instance_interactions": group_instances(of_fragment, edges, together, sizes, self.together).astype(
                np.int32
            ),
            "semantics": semantics,
        }
