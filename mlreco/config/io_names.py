"""Checks the names in section ``iotool``: dataset, reader, sampler, collation, augmentation, parsers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from mlreco.config.merge import Tree
from mlreco.config.signature import Parameters
from mlreco.errors import UserError
from mlreco.yaml_reader import KeyPath

REGISTRIES: tuple[tuple[KeyPath, str, str], ...] = (
    (("dataset", "name"), "mlreco.iotools.factories", "DATASETS"),
    (("dataset", "reader"), "mlreco.iotools.readers", "READERS"),
    (("sampler", "name"), "mlreco.iotools.samplers", "SAMPLERS"),
    (("collate_fn",), "mlreco.iotools.collate", "COLLATES"),
)
"""Key in ``iotool`` -> module and name of the registry that its value is looked up in."""


def check_io_names(iotool: Mapping[str, Any], scheme: str, tree: Tree) -> None:
    """Check every name of the section, and the arguments of parsers and of the augmentation.

    Raises:
        UserError: an unknown name or argument, or a product of the wrong kind.
    """
    for path, module, attribute in REGISTRIES:
        value: Any = iotool
        for key in path:
            value = (value or {}).get(key)
        if value is not None:
            _located(getattr(import_module(module), attribute).check, value, ("iotool", *path), tree)
    if iotool.get("augment"):
        augmenter = import_module("mlreco.iotools.augmentation").Augmenter
        problem = Parameters.of(augmenter).problem(iotool["augment"])
        if problem:
            path = ("iotool", "augment", problem[0])
            raise UserError(f"{tree.place(path)}: {'.'.join(path)}: {problem[1]}")
    if iotool["dataset"].get("simulation") is not None:
        path = ("iotool", "dataset", "simulation")
        try:
            import_module("mlreco.simulation.dataset").dataset_options(iotool["dataset"]["simulation"])
        except UserError as error:
            raise UserError(f"{tree.place(path)}: {error}") from error
    read_schema = import_module("mlreco.iotools.schema").read_schema
    for name, entry in iotool["dataset"]["schema"].items():
        try:
            read_schema({name: entry}, {"class_scheme": scheme})
        except UserError as error:
            raise UserError(f"{tree.place(('iotool', 'dataset', 'schema', name))}: {error}") from error


def _located(check: Any, value: str, path: KeyPath, tree: Tree) -> None:
    try:
        check(value)
    except UserError as error:
        raise UserError(f"{tree.place(path)}: {'.'.join(path)}: {error}") from error
