"""Translates configurations of lartpc_mlreco3d; each key without a counterpart gives a line.

Only the form changes here. Values are checked afterwards, like those of any configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlreco.config.field_losses import translate_spice_loss
from mlreco.config.field_schema import translate_schema
from mlreco.config.merge import Tree
from mlreco.config.rewrite import drop, move, require
from mlreco.errors import UserError
from mlreco.semantics import SCHEMES
from mlreco.yaml_reader import KeyPath

STAGE_NAMES = {"uresnet_lonely": "uresnet"}
"""Names of stages in lartpc_mlreco3d -> in this program."""

DEFAULT_SCHEME = "pilarnet"

_RENAMED = {"num_strides": "depth", "mask_loss_fn": "mask_loss"}
_LIFTED = {"uresnet": (), "spice": ("network_base", "uresnet", "uresnet_encoder")}
"""Sections of a stage whose keys belong to the stage itself in this program."""

_IDLE = ("spatial_size", "input_kernel", "input_kernel_size", "num_input", "features")
"""Keys of stages without effect: images may have any size, and the first convolution is always the same."""

_IDLE_SECTIONS = ("embedding_decoder", "fragment_clustering", "fragment_manager", "seediness_decoder")
_IDLE_OF_LOSSES = ("batch_loc", "loss_scheme", "mode", "name", "seediness_loss_fn", "spatial_size")
_FIXED: dict[str, Any] = {"data_dim": 3, "D": 3, "allow_bias": False, "weight_loss": False, "ghost": False}
"""Keys of stages that may only have one value, since the network has no other form."""


_FOREIGN = (
    "chain",
    "cosmic_discriminator",
    "dbscan",
    "edge_",
    "flow_",
    "full_",
    "gnn",
    "grappa",
    "graph_spice",
    "node_",
    "ppn",
    "uresnet_deghost",
    "uresnet_ppn",
)
"""Beginnings of the names of blocks that this program has no network for: points, graphs, ghost points."""


_OWN = ("grappa", "grappa_loss")
"""Names of blocks that begin like those and are stages of this program."""


def translate(tree: Tree) -> tuple[str, ...]:
    """Rewrite what is in the form of lartpc_mlreco3d.

    Args:
        tree: the configuration; changed in place.

    Returns:
        A line for each key that has no effect.

    Raises:
        UserError: a key asks for a network of another form, or for one that this program does not have.
    """
    values = tree.values
    notices: list[str] = []
    if "training" in values and "trainval" not in values:
        move(tree, ("training",), ("trainval",))
    model = values.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("modules"), dict):
        return ()
    names = [name for name in model["modules"] if name not in _OWN]
    foreign = [f"model.modules.{name}" for name in names if str(name).startswith(_FOREIGN)]
    if foreign:
        place = tree.place(tuple(foreign[0].split(".")))
        raise UserError(f"{place}: {', '.join(foreign)}: mlreco has no such network; remove what belongs to it")
    if model.get("name") in STAGE_NAMES:
        model["name"] = STAGE_NAMES[model["name"]]
    for old, new in STAGE_NAMES.items():
        for end in ("", "_loss"):
            if f"{old}{end}" in model["modules"]:
                if f"{new}{end}" in model["modules"]:
                    place = tree.place(("model", "modules", f"{old}{end}"))
                    raise UserError(
                        f"{place}: model.modules.{old}{end}: another name of the stage '{new}', which has a block too: "
                        f"merge them into '{new}{end}', or remove the one that is not meant"
                    )
                move(tree, ("model", "modules", f"{old}{end}"), ("model", "modules", f"{new}{end}"))
    translate_schema(tree, notices.append)
    if "class_scheme" not in model:
        classes = ", ".join(f"{number} {name}" for number, name in enumerate(SCHEMES[DEFAULT_SCHEME].classes))
        notices.append(f"{tree.source}: model.class_scheme is not given: '{DEFAULT_SCHEME}' ({classes})")
    for stage in _LIFTED:
        for name, write in ((stage, _stage), (f"{stage}_loss", _loss)):
            block = model["modules"].get(name)
            if isinstance(block, dict):
                write(tree, ("model", "modules", name), block, notices.append)
    return tuple(notices)


def _stage(tree: Tree, path: KeyPath, block: dict[str, Any], tell: Callable[[str], None]) -> None:
    """Rewrite the block of a stage."""
    for name in (*_IDLE_SECTIONS, "spatial_embeddings"):
        if name in block:
            drop(tree, (*path, name), tell)
    for name in _LIFTED[path[-1]]:
        if isinstance(block.get(name), dict):
            for key in list(block[name]):
                move(tree, (*path, name, key), (*path, key))
            del block[name]
    for key in [key for key in block if key in _RENAMED]:
        move(tree, (*path, key), (*path, _RENAMED[key]))
    for key in [key for key in block if key in _IDLE]:
        drop(tree, (*path, key), tell)
    scheme = tree.values["model"].get("class_scheme", DEFAULT_SCHEME)
    fixed = {**_FIXED, "num_classes": len(SCHEMES[scheme])} if scheme in SCHEMES else _FIXED
    for key in [key for key in block if key in fixed]:
        require(tree, (*path, key), block.pop(key), fixed[key])
    if isinstance(block.get("activation"), Mapping):
        activation = block.pop("activation")
        require(tree, (*path, "activation", "name"), activation.get("name"), "lrelu")
        slope = (activation.get("args") or {}).get("negative_slope")
        if slope is not None:
            block["leakiness"] = slope
            tree.places[(*path, "leakiness")] = tree.place((*path, "activation"))
    if isinstance(block.get("norm_layer"), Mapping):
        require(tree, (*path, "norm_layer", "name"), block["norm_layer"].get("name"), "batch_norm")
        drop(tree, (*path, "norm_layer"), tell)


def _loss(tree: Tree, path: KeyPath, block: dict[str, Any], tell: Callable[[str], None]) -> None:
    """Rewrite the block of a loss."""
    if path[-1] == "spice_loss":
        translate_spice_loss(tree, path, block, tell)
    for key in [key for key in block if key in _IDLE_OF_LOSSES]:
        drop(tree, (*path, key), tell)
    for key in [key for key in block if key in _RENAMED]:
        move(tree, (*path, key), (*path, _RENAMED[key]))
    scheme = SCHEMES.get(tree.values["model"].get("class_scheme", DEFAULT_SCHEME))
    numbers = block.get("skip_classes")
    if scheme is not None and isinstance(numbers, list) and all(number in range(len(scheme)) for number in numbers):
        block["skip_classes"] = [scheme.classes[number] for number in numbers]
