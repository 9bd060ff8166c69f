"""Translates names and weights of the losses of SPICE in lartpc_mlreco3d to this program's loss."""

from __future__ import annotations

from typing import Any

from mlreco.config.merge import Tree
from mlreco.config.rewrite import Tell, drop, move
from mlreco.errors import UserError, nearest
from mlreco.semantics import SCHEMES
from mlreco.yaml_reader import KeyPath

FIELD_LOSSES: dict[str, tuple[str | None, bool]] = {
    "se_bce": ("bce", False),
    "se_focal": ("focal", False),
    "se_lovasz": ("lovasz_hinge", False),
    "se_lovasz_inter": ("lovasz_hinge", True),
    "se_vectorized": (None, False),
    "se_vectorized_inter": (None, True),
}
"""Name of a loss there -> its mask loss (None: ``mask_loss_fn`` tells it), and whether it pushes centroids apart."""

MASK_LOSSES = {"BCE": "bce", "bce_logits": "bce", "lovasz_hinge": "lovasz_hinge", "focal": "focal", "dice": "dice"}
SEED_LOSSES = {"L1": "l1", "l1": "l1", "mse": "l2", "l2": "l2"}
_MIN_VOXELS = "the least number of voxels of a class there and of an instance here; left out"


def translate_spice_loss(tree: Tree, path: KeyPath, block: dict[str, Any], tell: Tell) -> None:
    """Rewrite a block that names a loss of lartpc_mlreco3d; one without ``name`` is left as it is.

    There the total is ``embedding_weight * (mask + inter) + seediness_weight * seediness + smoothing_weight *
    smoothing``, the seediness term an absolute difference, and low-energy voxels are left out; here
    ``embedding_weight`` is a factor of all three terms of the embedding.

    Raises:
        UserError: a loss that this program does not have.
    """
    if "name" not in block:
        return
    name = block["name"]
    if name not in FIELD_LOSSES:
        raise UserError(f"{tree.place((*path, 'name'))}: {'.'.join(path)}.name: {_no_loss(name, FIELD_LOSSES)}")
    del block["name"]
    mask, inter = FIELD_LOSSES[name]
    given = block.pop("mask_loss_fn", "BCE")
    block["mask_loss"] = mask or _known(tree, (*path, "mask_loss_fn"), given, MASK_LOSSES)
    seed_loss = block.pop("seed_loss_fn", block.pop("seediness_loss_fn", "L1"))
    block["seediness_norm"] = _known(tree, (*path, "seed_loss_fn"), seed_loss, SEED_LOSSES)
    weight = block.pop("embedding_weight", 1.0)
    block["mask_weight"] = weight
    block["inter_weight"] = weight * block.get("inter_weight", 1.0) if inter else 0.0
    if "seediness_weight" not in block and not name.startswith("se_vectorized"):
        tell(f"{tree.place(path)}: {'.'.join(path)}.seediness_weight: not given, and 0 there; 1 here")
    rename_loss_keys(tree, path, block, tell)
    scheme = SCHEMES.get(tree.values["model"].get("class_scheme", ""))
    if scheme is not None and "LowE" in scheme.classes:
        skipped = block.setdefault("skip_classes", [])
        number = scheme.number("LowE")
        if isinstance(skipped, list) and number not in skipped and "LowE" not in skipped:
            skipped.append(number if all(isinstance(item, int) for item in skipped) else "LowE")


def rename_loss_keys(tree: Tree, path: KeyPath, block: dict[str, Any], tell: Tell) -> None:
    """Rewrite the keys that lartpc_mlreco3d and SPINE share."""
    if "inter_margin" in block:
        move(tree, (*path, "inter_margin"), (*path, "delta_d"))
    if "min_voxels" in block:
        drop(tree, (*path, "min_voxels"), tell, _MIN_VOXELS)


def _known(tree: Tree, path: KeyPath, name: Any, names: dict[str, str]) -> str:
    if name not in names:
        raise UserError(f"{tree.place(path)}: {'.'.join(path)}: {_no_loss(name, names)}")
    return names[name]


def _no_loss(name: Any, names: dict[str, Any]) -> str:
    return f"mlreco has no loss '{name}'{nearest(str(name), names)}"
