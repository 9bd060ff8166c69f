"""Keys of SPICE that lartpc_mlreco3d keeps in the stage and this program keeps in the loss or the clusterer."""

from __future__ import annotations

from typing import Any

from mlreco.config.importing.chains import MODULES
from mlreco.config.merge import Tree
from mlreco.config.rewrite import Tell, get
from mlreco.semantics import ClassScheme, class_scheme
from mlreco.yaml_reader import KeyPath

_MANAGERS = ("fragment_clustering", "fragment_manager", "spice_fragment_manager")


def translate_field_spice(tree: Tree, tell: Tell) -> None:
    """Move the classes that are skipped into the loss, thresholds into a clusterer, and say where classes come from."""
    spice = get(tree, (*MODULES, "spice"))
    if not isinstance(spice, dict):
        return
    scheme = class_scheme(tree.values["model"]["class_scheme"])
    if "semantics" not in spice:
        segments = any(name.startswith("uresnet") for name in get(tree, MODULES))
        spice["semantics"] = "predicted" if segments else True
    skipped = spice.pop("skip_classes", None)
    if isinstance(skipped, list):
        loss = get(tree, MODULES).setdefault("spice_loss", {})
        loss.setdefault("skip_classes", [_name(scheme, item) for item in skipped])
    for name in _MANAGERS:
        if isinstance(spice.get(name), dict):
            _clusterer(tree, (*MODULES, "spice", name), spice.pop(name), scheme, tell)


def _clusterer(tree: Tree, path: KeyPath, block: dict[str, Any], scheme: ClassScheme, tell: Tell) -> None:
    """Make the thresholds of fragments those of the greedy clusterer."""
    seeds, probabilities = block.pop("s_thresholds", []), block.pop("p_thresholds", [])
    values = list(zip(scheme.classes, seeds, probabilities, strict=False))
    wanted = block.pop("cluster_classes", None)
    unwanted = block.pop("skip_classes", [])
    if wanted is None:
        wanted = [number for number in range(len(values) or len(scheme)) if number not in unwanted]
    greedy: dict[str, Any] = {
        "thresholds": {name: {"seed": float(seed), "probability": float(p)} for name, seed, p in values}
    }
    greedy["skip_classes"] = [name for number, name in enumerate(scheme.classes) if number not in wanted]
    if "min_frag_size" in block:
        greedy["min_voxels"] = block.pop("min_frag_size")
    for key in block:
        tell(f"{tree.place((*path, key))}: {'.'.join(path)}.{key}: no counterpart in mlreco, left out")
    tree.values.setdefault("post_processing", {})["greedy_clusterer"] = greedy


def _name(scheme: ClassScheme, item: Any) -> Any:
    return scheme.classes[item] if isinstance(item, int) and item in range(len(scheme)) else item
