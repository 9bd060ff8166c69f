"""Post-processors by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mlreco.errors import UserError, nearest
from mlreco.registry import Registry
from mlreco.semantics import ClassScheme

POST_PROCESSORS = Registry(
    "post-processor",
    {
        "greedy_clusterer": "mlreco.post_processing.processors.greedy_clusterer:GreedyFragments",
        "linked_clusterer": "mlreco.post_processing.processors.linked_clusterer:LinkedFragments",
        "dbscan": "mlreco.post_processing.processors.dbscan:DbscanFragments",
        "particle_builder": "mlreco.post_processing.processors.particle_builder:ParticleBuilder",
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
