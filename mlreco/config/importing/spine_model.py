"""The blocks of SPINE's networks in the form of lartpc_mlreco3d, which this program reads."""

from __future__ import annotations

from typing import Any

from mlreco.config.field_losses import MASK_LOSSES, SEED_LOSSES, rename_loss_keys
from mlreco.config.merge import Tree
from mlreco.config.rewrite import Tell, drop, get, require
from mlreco.errors import UserError, nearest
from mlreco.semantics import MLRECO, ClassScheme, class_scheme
from mlreco.yaml_reader import KeyPath

SHAPES = {name.lower(): name for name in MLRECO.classes}
"""SPINE's names of classes -> those here."""

_SAME_CLASSES = {"Track": ("HIP", "MIP"), "LowE": ()}
"""Classes of the scheme ``mlreco`` -> those of ``pilarnet`` that hold the same voxels, where the names differ."""

_MODULES: KeyPath = ("model", "modules")
_DEFAULT_SHAPES = ("shower", "track")
_SEGMENTATION_LOSS = {"loss": "ce", "ghost_label": -1, "upweight_points": False}
"""Keys of the loss of the segmentation that may only have one value."""


def translate_model(tree: Tree, tell: Tell) -> None:
    """Rewrite the blocks of ``model.modules`` that stand for stages of this program.

    Raises:
        UserError: a network of another form than those here.
    """
    model = tree.values.setdefault("model", {})
    model.pop("provider", None)
    model.setdefault("class_scheme", MLRECO.name)
    modules = get(tree, _MODULES)
    for name in list(modules) if isinstance(modules, dict) else ():
        path = (*_MODULES, name)
        block = modules[name]
        if not isinstance(block, dict):
            continue
        if name == "uresnet" or name.startswith("uresnet_ppn"):
            _backbones(block)
        elif name == "spice":
            _spice(tree, path, block, tell)
        elif name == "uresnet_loss":
            _segmentation_loss(tree, path, block, tell)
        elif name == "spice_loss":
            _spice_loss(tree, path, block, tell)


def _backbones(block: dict[str, Any]) -> None:
    """Write activations and norms, of a block and of the blocks in it, as a name with arguments."""
    for key, value in block.items():
        if isinstance(value, dict):
            if key in ("activation", "norm_layer"):
                arguments = {word: item for word, item in value.items() if word not in ("name", "provider", "args")}
                name = value.get("provider", value.get("name"))
                block[key] = {"name": name, "args": {**arguments, **(value.get("args") or {})}}
            else:
                _backbones(value)


def _spice(tree: Tree, path: KeyPath, block: dict[str, Any], tell: Tell) -> None:
    _backbones(block)
    for key, wanted in (("coord_conv", True), ("margin_dim", 1), ("seediness_dim", 1)):
        if key in block:
            require(tree, (*path, key), block.pop(key), wanted)
    if block.pop("seed_freeze", False):
        tree.values["trainval"]["freeze"] = ["spice.seediness_decoder", "spice.seediness_head"]
    shapes = block.pop("shapes", None)
    if shapes is None:
        skipped = [_shape(tree, path, item) for item in block.pop("skip_classes", [])]
        kept = [name for name in SHAPES.values() if name not in skipped] if skipped else list(_DEFAULT_SHAPES)
    else:
        kept = shapes
    kept = [_shape(tree, path, item) for item in kept]
    scheme = class_scheme(tree.values["model"]["class_scheme"])
    own = [name for item in kept for name in _in_scheme(item, scheme)]
    skipped = [name for name in scheme.classes if name not in own]
    loss = tree.values["model"]["modules"].setdefault("spice_loss", {})
    loss["skip_classes"] = skipped
    block.pop("make_clusters", None)
    _clusterer(tree, path, block, kept, skipped, tell)


def _clusterer(
    tree: Tree, path: KeyPath, block: dict[str, Any], kept: list[str], skipped: list[str], tell: Tell
) -> None:
    """Make the clusterer of the stage a post-processor."""
    given = block.pop("clusterer", None)
    greedy: dict[str, Any] = {"skip_classes": skipped}
    if isinstance(given, dict):
        where = (*path, "clusterer")
        scheme = class_scheme(tree.values["model"]["class_scheme"])
        seeds = _thresholds(tree, where, given.pop("seed_threshold", 0.0), kept)
        probabilities = _thresholds(tree, where, given.pop("probability_threshold", 0.5), kept)
        greedy["thresholds"] = {
            name: {"seed": seeds[item], "probability": probabilities[item]}
            for item in kept
            for name in _in_scheme(item, scheme)
        }
        if "min_size" in given:
            greedy["min_voxels"] = given.pop("min_size")
        for key in given:
            tell(f"{tree.place((*where, key))}: {'.'.join(where)}.{key}: no counterpart in mlreco, left out")
    tree.values.setdefault("post_processing", {})["greedy_clusterer"] = greedy


def _thresholds(tree: Tree, path: KeyPath, value: Any, kept: list[str]) -> dict[str, float]:
    """Return a threshold by class, given as one number, a number a class, or a mapping."""
    if isinstance(value, dict):
        return {_shape(tree, path, key): number for key, number in value.items()}
    if isinstance(value, list):
        return dict(zip(kept, value, strict=False))
    return dict.fromkeys(kept, value)


def _in_scheme(name: str, scheme: ClassScheme) -> tuple[str, ...]:
    return (name,) if name in scheme.classes else _SAME_CLASSES[name]


def _shape(tree: Tree, path: KeyPath, item: Any) -> str:
    """Return the class that SPINE calls by a number or a name."""
    if isinstance(item, int) and item in range(len(MLRECO)):
        return MLRECO.classes[item]
    name = str(item)
    if name.lower() in SHAPES:
        return SHAPES[name.lower()]
    raise UserError(f"{tree.place(path)}: {'.'.join(path)}: no class '{item}'{nearest(name, SHAPES)}")


def _segmentation_loss(tree: Tree, path: KeyPath, block: dict[str, Any], tell: Tell) -> None:
    for key, wanted in _SEGMENTATION_LOSS.items():
        if key in block:
            require(tree, (*path, key), block.pop(key), wanted)
    if not block.get("balance_loss", True):
        del block["balance_loss"]
    for key in list(block):
        why = "no counterpart in mlreco, left out; class_weights gives weights by class"
        drop(tree, (*path, key), tell, why)


def _spice_loss(tree: Tree, path: KeyPath, block: dict[str, Any], tell: Tell) -> None:
    """Rewrite the loss of SPICE.

    There ``embedding_weight`` is the weight of the mask loss alone.
    """
    for key, new, names in (("mask_loss", "mask_loss", MASK_LOSSES), ("seed_loss", "seediness_norm", SEED_LOSSES)):
        default = "bce_logits" if key == "mask_loss" else "l1"
        name = block.pop(key, default)
        if name not in names:
            hint = nearest(str(name), names)
            raise UserError(f"{tree.place((*path, key))}: {'.'.join((*path, key))}: no loss '{name}' in mlreco{hint}")
        block[new] = names[name]
    block["mask_weight"] = block.pop("embedding_weight", 1.0)
    block.pop("eps", None)
    rename_loss_keys(tree, path, block, tell)
