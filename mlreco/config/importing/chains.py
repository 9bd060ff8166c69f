"""The blocks of ``model.modules`` in chains of lartpc_mlreco3d and SPINE, made stages of this program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlreco.config.field import STAGE_NAMES
from mlreco.config.field_schema import FOREIGN_PARSERS, parser_name
from mlreco.config.importing.stages import ENABLED_BY, MISSING, STAGES_HERE, needs
from mlreco.config.merge import Tree
from mlreco.config.rewrite import Tell, drop, get, move
from mlreco.errors import UserError
from mlreco.yaml_reader import KeyPath

MODULES: KeyPath = ("model", "modules")
LOSS = "_loss"
_SPICE_PARTS = ("network_base", "spatial_embeddings", "uresnet", "fragment_clustering")
"""Blocks that make SPICE where ``spatial_embeddings`` stands beside them."""
_SPICE_LOSSES = ("clustering_loss", "full_chain_loss")


def rearrange(tree: Tree, without: Iterable[str], tell: Tell) -> None:
    """Make every block of ``model.modules`` a stage of this program or the loss of one.

    Args:
        tree: the configuration, its sections named as here; changed in place.
        without: first letters of the names of blocks to leave out.
        tell: takes a line for each block that is left out.

    Raises:
        UserError: a stage that this program does not have, or none is left.
    """
    modules = get(tree, MODULES)
    if not isinstance(modules, dict):
        raise UserError(f"{tree.place(('model',))}: model.modules: a mapping of stages is expected")
    proposes = _lift_segmentation(tree, modules)
    _gather_spice(tree, modules)
    _drop_disabled(tree, modules, tell)
    _drop_unwanted(tree, modules, tuple(without), tell)
    if proposes and not any("ppn".startswith(word) for word in without):
        modules.setdefault("ppn", {})
    _refuse_missing(tree, modules)
    for name in [name for name in modules if _stage_of(name) not in STAGES_HERE]:
        drop(tree, (*MODULES, name), tell, "belongs to no stage of mlreco, left out")
    for name in [name for name in modules if name.endswith(LOSS) and not _owners(name) & set(modules)]:
        drop(tree, (*MODULES, name), tell, "the loss of a stage that is left out")
    if not any(not name.endswith(LOSS) for name in modules):
        raise UserError(f"{tree.place(MODULES)}: model.modules: no stage of mlreco is left: {', '.join(STAGES_HERE)}")
    tree.values["model"]["name"] = "chain"
    _keep_known_inputs(tree, tell)


def _lift_segmentation(tree: Tree, modules: dict[str, Any]) -> bool:
    """Take ``uresnet_ppn`` apart; return whether points were proposed by a part that has no block of its own."""
    proposes = False
    for name in [name for name in modules if name.startswith("uresnet_ppn")]:
        block = modules[name]
        parts = [key for key in block if isinstance(block[key], dict) and key.startswith(("uresnet", "ppn"))]
        if name.endswith(LOSS) or parts:
            for key in list(block):
                target = key if key in parts else f"uresnet{LOSS if name.endswith(LOSS) else ''}"
                new = (*MODULES, target) if key in parts else (*MODULES, target, key)
                move(tree, (*MODULES, name, key), new)
            del modules[name]
        else:
            move(tree, (*MODULES, name), (*MODULES, "uresnet"))
            proposes = True
    return proposes


def _gather_spice(tree: Tree, modules: dict[str, Any]) -> None:
    """Put the blocks that stand for SPICE together into one."""
    if "spatial_embeddings" not in modules:
        return
    for part in _SPICE_PARTS:
        if part in modules:
            move(tree, (*MODULES, part), (*MODULES, "spice", part))
    for name in _SPICE_LOSSES:
        block = modules.get(name)
        if isinstance(block, dict) and str(block.get("name", "")).startswith("se_") and "spice_loss" not in modules:
            move(tree, (*MODULES, name), (*MODULES, "spice_loss"))


def _drop_disabled(tree: Tree, modules: dict[str, Any], tell: Tell) -> None:
    """Leave out the blocks of stages that the block ``chain`` turns off."""
    chain = modules.get("chain")
    if not isinstance(chain, dict):
        return
    for switch, blocks in ENABLED_BY.items():
        if chain.get(switch) is False:
            for name in [name for name in modules if _stage_of(name).startswith(blocks)]:
                if not any(chain.get(other) and _stage_of(name).startswith(ENABLED_BY[other]) for other in ENABLED_BY):
                    drop(tree, (*MODULES, name), tell, f"chain.{switch} is false, left out")
    drop(tree, (*MODULES, "chain"), tell, "the stages of the chain are those that have a block")


def _drop_unwanted(tree: Tree, modules: dict[str, Any], without: tuple[str, ...], tell: Tell) -> None:
    for word in without:
        fitting = [name for name in modules if name.startswith(word)]
        for name in fitting:
            drop(tree, (*MODULES, name), tell, "left out, as asked")


def _refuse_missing(tree: Tree, modules: dict[str, Any]) -> None:
    stages = [name for name in modules if name in MISSING or not name.endswith(LOSS)]
    missing = [name for name in stages if _stage_of(name) not in STAGES_HERE and needs(name)]
    if not missing:
        return
    here = [name for name in modules if _stage_of(name) in STAGES_HERE and not name.endswith(LOSS)]
    rest = f"; --without {','.join(missing)} imports the rest: {', '.join(map(_stage_of, here))}" if here else ""
    of_need: dict[str, list[str]] = {}
    for name in missing:
        of_need.setdefault(str(needs(name)), []).append(name)
    listed = "; ".join(f"{', '.join(names)}: needs {need}" for need, names in of_need.items())
    raise UserError(f"{tree.place((*MODULES, missing[0]))}: model.modules: mlreco has no such stage: {listed}{rest}")


def _stage_of(block: str) -> str:
    """Return the stage of a block or of its loss, by the name that it has here."""
    name = block.removesuffix(LOSS)
    return STAGE_NAMES.get(name, name)


def _owners(loss: str) -> set[str]:
    name = loss.removesuffix(LOSS)
    return {name, *(old for old, new in STAGE_NAMES.items() if new == name)}


def _keep_known_inputs(tree: Tree, tell: Tell) -> None:
    """Leave blobs that no stage here takes out of the lists of inputs."""
    schema = get(tree, ("iotool", "dataset", "schema"), {})
    model = tree.values["model"]
    inputs = _names(model.get("network_input"))
    if len(inputs) > 1:
        place = tree.place(("model", "network_input"))
        tell(f"{place}: model.network_input: {', '.join(inputs[1:])}: the networks take the image alone, left out")
    model["network_input"] = inputs[:1]
    kept = []
    for name in _names(model.get("loss_input")):
        if parser_name(schema.get(name)) in FOREIGN_PARSERS:
            tell(f"{tree.place(('model', 'loss_input'))}: model.loss_input: {name}: no loss here takes it, left out")
        else:
            kept.append(name)
    model["loss_input"] = kept


def _names(value: Any) -> list[str]:
    """Return the blobs of a list of inputs, or of SPINE's mapping from arguments to blobs."""
    items = value.values() if isinstance(value, dict) else [value] if isinstance(value, str) else value or []
    return list(dict.fromkeys(str(item) for item in items))
