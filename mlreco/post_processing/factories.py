"""Post-processors by name."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlreco.errors import UserError, nearest
from mlreco.post_processing.fragment_graph.partition import GraphThresholds
from mlreco.post_processing.settings.class_values import Given, keys_of
from mlreco.post_processing.settings.link_thresholds import LinkThresholds
from mlreco.registry import Registry
from mlreco.semantics import ClassScheme

GREEDY, LINKED, GRAPH = "greedy_clusterer", "linked_clusterer", "graph_clusterer"
PARTICLES = "particle_builder"
POST_PROCESSORS = Registry(
    "post-processor",
    {
        GREEDY: "mlreco.post_processing.processors.greedy_clusterer:GreedyFragments",
        LINKED: "mlreco.post_processing.processors.linked_clusterer:LinkedFragments",
        GRAPH: "mlreco.post_processing.processors.graph_clusterer:GraphInstances",
        "dbscan": "mlreco.post_processing.processors.dbscan:DbscanFragments",
        PARTICLES: "mlreco.particles.particle_builder:ParticleBuilder",
    },
    "mlreco.post_processing",
)


def construct(name: str) -> Callable[..., Any]:
    """Return the class of a post-processor, imported on demand.

    Args:
        name: a built-in name, one that an installed package registers under the entry point group
            ``mlreco.post_processing``, or ``package.module:attr``.

    Raises:
        UserError: there is no such post-processor, or something it needs is not installed.
    """
    return POST_PROCESSORS.get(name)


def clusterer_of(thresholds: Given) -> str:
    """Return the name of the clusterer whose thresholds have these keys; the greedy one where they do not decide.

    Args:
        thresholds: class name -> name of a value -> number, or the path of a file that ``mlreco tune`` wrote.

    Raises:
        UserError: the file cannot be read.
    """
    keys = keys_of(thresholds)
    if keys & set(GraphThresholds._fields):
        return GRAPH
    return LINKED if keys & set(LinkThresholds._fields) else GREEDY


def clusterers_of_file(info: Mapping[str, Any]) -> list[str]:
    """Return the names of the post-processors that made the instances of an output file, in their order.

    Args:
        info: attributes of the file.
    """
    names = info.get("post_processors", "[]")
    found = json.loads(names) if isinstance(names, str) else names
    if found:
        return [str(name) for name in found if name != PARTICLES]
    used = json.loads(info.get("thresholds") or "{}")
    return [clusterer_of(used)] if used else []


def with_thresholds(config: Mapping[str, Mapping[str, Any] | None], thresholds: Given) -> dict[str, Any]:
    """Return a section ``post_processing`` with other thresholds, and with the clusterer that they belong to.

    Args:
        config: name of a post-processor -> its arguments.
        thresholds: as in ``clusterer_of``.

    Raises:
        UserError: the file cannot be read.
    """
    chosen = clusterer_of(thresholds)
    own = {**(config.get(chosen) or {}), "thresholds": thresholds}
    others = {name: arguments for name, arguments in config.items() if name not in (GREEDY, LINKED, GRAPH)}
    return {chosen: own, **others}


def build_post_processors(config: Mapping[str, Mapping[str, Any] | None], scheme: ClassScheme) -> list[Any]:
    """Build the post-processors of a configuration.

    Args:
        config: name of a post-processor -> its arguments, in the order in which they run.
        scheme: the classes; given to constructors that take a ``class_scheme``.

    Returns:
        Objects that are called as ``processor(event, scheme)`` and return the products to add.

    Raises:
        UserError: an unknown name, argument or value.
    """
    return [_build(name, dict(arguments or {}), scheme) for name, arguments in config.items()]


def thresholds_text(processors: Iterable[Any], in_true_classes: bool) -> str:
    """Return the thresholds of the clusterers among post-processors, as output files hold them: JSON by class name.

    Args:
        processors: the post-processors.
        in_true_classes: whether the events are clustered in true classes, for which a clusterer may have others.
    """
    used: dict[str, Any] = {}
    for processor in processors:
        thresholds = getattr(processor, "thresholds", {})
        used |= getattr(processor, "thresholds_in_true_classes", thresholds) if in_true_classes else thresholds
    return json.dumps(used)


def _build(name: str, arguments: dict[str, Any], scheme: ClassScheme) -> Any:
    factory = construct(name)
    parameters = inspect.signature(factory).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    valid = set(parameters) - {"class_scheme"}
    for key in arguments:
        if key not in valid and not takes_any:
            raise UserError(f"post_processing.{name}: no key '{key}'{nearest(key, valid)}")
    if "class_scheme" in parameters:
        arguments["class_scheme"] = scheme
    try:
        return factory(**arguments)
    except UserError as error:
        raise UserError(f"post_processing.{name}: {error}") from error
