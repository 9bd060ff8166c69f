"""Parsers: products of an event to labelled arrays, under the names that lartpc_mlreco3d configurations use.

A parser is a function whose arguments ending in ``_event`` or ``_event_list`` receive products (the prefix says which
kind: ``sparse``, ``cluster``, ``particle``, ``graph``); its other arguments come from the configuration as they are.
"""

from collections.abc import Callable
from typing import Any

from mlreco.iotools.parsers.clusters import parse_cluster3d, parse_cluster3d_clean_full
from mlreco.iotools.parsers.particles import parse_particles
from mlreco.iotools.parsers.sparse import parse_sparse3d
from mlreco.registry import Registry

PARSERS = Registry(
    "parser",
    {
        "parse_sparse3d": "mlreco.iotools.parsers.sparse:parse_sparse3d",
        "parse_sparse3d_scn": "mlreco.iotools.parsers.sparse:parse_sparse3d",
        "parse_cluster3d": "mlreco.iotools.parsers.clusters:parse_cluster3d",
        "parse_cluster3d_clean_full": "mlreco.iotools.parsers.clusters:parse_cluster3d_clean_full",
        "parse_fragment_graph": "mlreco.iotools.parsers.graphs:parse_fragment_graph",
        "parse_particles": "mlreco.iotools.parsers.particles:parse_particles",
    },
    "mlreco.parsers",
)


def find_parser(name: str) -> Callable[..., Any]:
    """Return a parser by built-in name, plugin name (``mlreco.parsers``) or ``package.module:attribute``.

    Raises:
        UserError: no such parser.
    """
    return PARSERS.get(name)


__all__ = [
    "PARSERS",
    "find_parser",
    "parse_cluster3d",
    "parse_cluster3d_clean_full",
    "parse_particles",
    "parse_sparse3d",
]
