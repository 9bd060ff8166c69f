"""Checks the names in a configuration: stages, post-processors, classes, entries of the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from mlreco.config.io_names import check_io_names
from mlreco.config.merge import Tree
from mlreco.config.signature import Parameters
from mlreco.config.torch_names import check_torch_names
from mlreco.errors import UserError, nearest
from mlreco.models.blocks import BLOCK_KEYS, LOSS_SUFFIX, is_loss
from mlreco.post_processing.settings.class_values import IN_PREDICTED, IN_TRUE
from mlreco.semantics import SCHEMES
from mlreco.yaml_reader import KeyPath

StageClasses = Callable[[str], tuple[type, type]]
"""Name of a stage -> its class and the class of its loss."""
PostProcessor = Callable[[str], Callable[..., Any]]

FREEZE_WORDS = ("freeze_weight", "freeze")
"""Older spellings of ``freeze_weights``."""
FILLED_IN = ("class_scheme",)
"""Arguments that the program fills in."""


def check_names(
    values: dict[str, Any], tree: Tree, stage_classes: StageClasses | None, post_processor: PostProcessor | None
) -> dict[str, Any]:
    """Check every name in a configuration of valid types.

    Args:
        values: the checked sections.
        tree: where each key came from.
        stage_classes: as in `mlreco.config.load_config`.
        post_processor: as in `mlreco.config.load_config`.

    Returns:
        The values, with the blocks of stages and post-processors in canonical form.

    Raises:
        UserError: an unknown name or argument, or a value of a wrong type.
    """
    model = values["model"]
    if model["class_scheme"] not in SCHEMES:
        _fail(
            tree,
            ("model", "class_scheme"),
            f"no scheme '{model['class_scheme']}'{nearest(model['class_scheme'], SCHEMES)}",
        )
    check_torch_names(values["trainval"], tree)
    check_io_names(values["iotool"], model["class_scheme"], tree)
    schema = values["iotool"]["dataset"]["schema"]
    for key in ("network_input", "loss_input"):
        for number, name in enumerate(model[key]):
            if name not in schema:
                hint = nearest(name, schema)
                _fail(
                    tree, ("model", key, str(number)), f"'{name}' is not in iotool.dataset.schema{hint}", ("model", key)
                )
    blocks = {name: _block(name, block or {}, tree) for name, block in model["modules"].items()}
    classes = stage_classes or import_module("mlreco.models.factories").construct
    processors = {name: dict(arguments or {}) for name, arguments in values["post_processing"].items()}
    processors = _move_thresholds(blocks, processors, tree)
    for name, block in blocks.items():
        _check_block(name, block, blocks, tree, classes)
    for name, arguments in processors.items():
        _check_processor(name, arguments, SCHEMES[model["class_scheme"]].classes, tree, post_processor)
    return {**values, "model": {**model, "modules": blocks}, "post_processing": processors}


def _block(name: str, block: Mapping[str, Any], tree: Tree) -> dict[str, Any]:
    """Return a block with ``freeze_weights`` under that name."""
    words = [word for word in (*FREEZE_WORDS, "freeze_weights") if word in block]
    if len(words) > 1:
        _fail(tree, ("model", "modules", name, words[0]), f"the same as {words[1]}: give one")
    rest = {key: value for key, value in block.items() if key not in words}
    path = ("model", "modules", name)
    for word in words:
        if not isinstance(block[word], bool):
            _fail(tree, (*path, word), f"expected true or false, not {block[word]!r}; modules go into trainval.freeze")
        rest["freeze_weights"] = block[word]
    for word in ("model_path", "model_name", "name"):
        if word in rest and not isinstance(rest[word], str | None):
            _fail(tree, (*path, word), f"expected a text, not {rest[word]!r}")
    return rest


def _move_thresholds(
    blocks: dict[str, dict[str, Any]], processors: dict[str, dict[str, Any]], tree: Tree
) -> dict[str, dict[str, Any]]:
    """Return the post-processors, with the ``thresholds`` of a block ``spice`` moved to their clusterer."""
    for name, block in blocks.items():
        if (block.get("name") or name) == "spice" and "thresholds" in block:
            path = ("model", "modules", name, "thresholds")
            given = [other for other, arguments in processors.items() if "thresholds" in arguments]
            if given:
                _fail(tree, path, f"the same as post_processing.{given[0]}.thresholds: give one")
            try:
                processors = import_module("mlreco.post_processing.factories").with_thresholds(
                    processors, block.pop("thresholds")
                )
            except UserError as error:
                _fail(tree, path, str(error))
    return processors


def _check_block(
    name: str, block: Mapping[str, Any], blocks: Mapping[str, Any], tree: Tree, classes: StageClasses
) -> None:
    path = ("model", "modules", name)
    of_loss = is_loss(name, blocks)
    owner = name.removesuffix(LOSS_SUFFIX) if of_loss else name
    try:
        stage, loss = classes(blocks[owner].get("name") or owner)
    except UserError as error:
        raise UserError(f"{tree.place(path)}: {'.'.join(path)}: {error}") from error
    options = () if of_loss else BLOCK_KEYS
    arguments = {key: value for key, value in block.items() if key not in options}
    problem = Parameters.of(loss if of_loss else stage, FILLED_IN).problem(arguments, options)
    if problem:
        _fail(tree, (*path, problem[0]), problem[1])


def _check_processor(
    name: str, arguments: Mapping[str, Any], class_names: tuple[str, ...], tree: Tree, lookup: PostProcessor | None
) -> None:
    path = ("post_processing", name)
    find = lookup or import_module("mlreco.post_processing.factories").construct
    try:
        target = find(name)
    except UserError as error:
        raise UserError(f"{tree.place(path)}: {'.'.join(path)}: {error}") from error
    problem = Parameters.of(target, FILLED_IN).problem(arguments)
    if problem:
        _fail(tree, (*path, problem[0]), problem[1])
    _check_class_names(arguments.get("thresholds"), (*path, "thresholds"), class_names, tree)


def _check_class_names(thresholds: Any, path: KeyPath, class_names: tuple[str, ...], tree: Tree) -> None:
    for name, values in thresholds.items() if isinstance(thresholds, Mapping) else ():
        if name in (IN_PREDICTED, IN_TRUE):
            _check_class_names(values, (*path, name), class_names, tree)
        elif name not in class_names:
            _fail(tree, (*path, str(name)), f"no such class{nearest(str(name), class_names)}")


def _fail(tree: Tree, path: KeyPath, sentence: str, shown: KeyPath | None = None) -> None:
    raise UserError(f"{tree.place(path)}: {'.'.join(shown or path)}: {sentence}")
