"""The sections of SPINE (``base``, ``io``, ``model``) under the names that they have here.

SPINE selects an implementation by ``provider``, before 2026 by ``name`` or ``parser``; its arguments stand beside the
name or, since 2026, in ``config``.
"""

from __future__ import annotations

from typing import Any

from mlreco.config.importing.spine_model import translate_model
from mlreco.config.merge import Tree
from mlreco.config.rewrite import Tell, drop, get, move
from mlreco.yaml_reader import KeyPath

NO_COUNTERPART = "no counterpart in mlreco, left out"
NO_FILES = "events.h5"
"""Stands for the files of a configuration that names none."""

_BASE = {
    "seed": "seed",
    "iterations": "iterations",
    "epochs": "epochs",
    "log_dir": "log_dir",
    "log_step": "report_step",
}
_TRAIN = {"weight_prefix": "weight_prefix", "save_step": "checkpoint_step"}
_LOADER = {"shuffle": "shuffle", "num_workers": "num_workers", "batch_size": "batch_size"}
_DATASET = {
    "file_keys": "data_keys",
    "file_list": "data_keys",
    "limit_num_files": "limit_num_files",
    "entry_list": "event_list",
    "skip_entry_list": "skip_event_list",
}
_SAMPLERS = {
    "sequential": "SequentialSampler",
    "random_sequence": "RandomSequenceSampler",
    "bootstrap": "RandomSampler",
}
_PARSERS = {
    "sparse3d": "parse_sparse3d",
    "cluster3d": "parse_cluster3d",
    "particle": "parse_particles",
    "meta": "parse_meta3d",
    "crthit": "parse_crthits",
    "flash": "parse_opflash",
}
_PARSER_ARGUMENTS = {
    "parse_sparse3d": ("sparse_event", "sparse_event_list"),
    "parse_cluster3d": (
        "cluster_event",
        "particle_event",
        "particle_mpv_event",
        "sparse_semantics_event",
        "sparse_value_event",
        "add_particle_info",
        "clean_data",
    ),
    "parse_particles": ("particle_event", "cluster_event", "sparse_event"),
}


def is_spine(tree: Tree) -> bool:
    """Tell whether a configuration has SPINE's sections."""
    return "io" in tree.values or "base" in tree.values


def translate_spine(tree: Tree, tell: Tell) -> None:
    """Rewrite the sections; keys without a counterpart are reported and left out.

    Raises:
        UserError: a network of another form than those here.
    """
    devices = _training(tree, tell)
    _loader(tree, devices, tell)
    translate_model(tree, tell)
    for name in [name for name in tree.values if name not in ("iotool", "model", "trainval", "post_processing")]:
        drop(tree, (name,), tell, NO_COUNTERPART)


def selected(block: Any) -> tuple[str | None, dict[str, Any]]:
    """Return the name and the arguments of something that SPINE selects by name."""
    if not isinstance(block, dict):
        return block, {}
    rest = dict(block)
    names = [rest.pop(word, None) for word in ("provider", "name", "parser", "collate_fn")]
    name = next((word for word in names if word is not None), None)
    nested = [rest.pop(word, None) for word in ("config", "args", "kwargs")]
    return name, {
        **rest,
        **{key: value for values in nested if isinstance(values, dict) for key, value in values.items()},
    }


def _training(tree: Tree, tell: Tell) -> int:
    """Make ``trainval``; return the number of devices."""
    base = tree.values.setdefault("base", {})
    if "train" in base:
        move(tree, ("base", "train"), ("train",))
    training = "train" in tree.values
    trainval: dict[str, Any] = {}
    tree.values["trainval"] = trainval
    _take(tree, ("base",), ("trainval",), _BASE)
    devices = base.pop("world_size", 0) or 0
    trainval["gpus"] = ",".join(str(number) for number in range(devices))
    if isinstance(trainval.get("iterations"), int) and trainval["iterations"] < 1:
        del trainval["iterations"]
    if "epochs" in trainval and "iterations" in trainval:
        del trainval["iterations"]
    trainval["train"] = training
    if training:
        _take(tree, ("train",), ("trainval",), _TRAIN)
        for key in ("optimizer", "lr_scheduler"):
            name, arguments = selected(tree.values["train"].pop(key, None))
            if arguments.pop("interval", "step") != "step":
                tell(f"{tree.place(('train', key))}: train.{key}.interval: every iteration here")
            if name is not None:
                trainval[key] = {"name": name, "args": arguments}
        if "save_epoch" in tree.values["train"]:
            why = "checkpoints are written by iterations here: set trainval.checkpoint_step"
            drop(tree, ("train", "save_epoch"), tell, why)
        _validation(tree, tell)
    path: KeyPath = ("model", "weight_path")
    if get(tree, path):
        move(tree, path, ("trainval", "model_path"))
    elif get(tree, path, ...) is None:
        del tree.values["model"]["weight_path"]
    _tell_rest(tree, ("base",), tell)
    _tell_rest(tree, ("train",), tell)
    return devices


def _validation(tree: Tree, tell: Tell) -> None:
    """Make ``trainval.validation`` and ``trainval.patience``."""
    block = tree.values.get("validation")
    if not isinstance(block, dict):
        return
    if not block.get("file_keys"):
        drop(tree, ("validation",), tell, "names no files: set trainval.validation")
        return
    tree.values["trainval"]["validation"] = {}
    move(tree, ("validation", "file_keys"), ("trainval", "validation", "data_keys"))
    path: KeyPath = ("validation", "early_stopping")
    if get(tree, (*path, "monitor")) == "loss" and get(tree, (*path, "patience")):
        move(tree, (*path, "patience"), ("trainval", "patience"))
        for usual in ("monitor", "mode", "min_delta"):
            if block["early_stopping"].get(usual) in ("loss", "min", 0.0):
                del block["early_stopping"][usual]
        _tell_rest(tree, path, tell)
    if block.get("best_checkpoint"):
        del block["best_checkpoint"]
    _tell_rest(tree, ("validation",), tell)


def _loader(tree: Tree, devices: int, tell: Tell) -> None:
    """Make ``iotool``."""
    iotool: dict[str, Any] = {"collate_fn": "CollateSparse"}
    tree.values["iotool"] = iotool
    path: KeyPath = ("io", "loader")
    if not isinstance(get(tree, path), dict):
        iotool["dataset"] = {}
        return
    loader = tree.values["io"]["loader"]
    _take(tree, path, ("iotool",), _LOADER)
    if "minibatch_size" in loader:
        iotool["batch_size"] = loader.pop("minibatch_size") * max(devices, 1)
    loader.pop("collate_fn", None)
    name, arguments = selected(loader.pop("sampler", None))
    if name is not None:
        iotool["sampler"] = {"name": _SAMPLERS.get(name, name)}
        if arguments.get("seed") is not None:
            iotool["sampler"]["seed"] = arguments["seed"]
    _dataset(tree, tell)
    _tell_rest(tree, path, tell)
    _tell_rest(tree, ("io",), tell)


def _dataset(tree: Tree, tell: Tell) -> None:
    path: KeyPath = ("io", "loader", "dataset")
    dataset = get(tree, path, {})
    nested = dataset.pop("config", None)
    dataset |= nested if isinstance(nested, dict) else {}
    target: dict[str, Any] = {"name": "LArCVDataset"}
    tree.values["iotool"]["dataset"] = target
    for word in ("name", "provider"):
        dataset.pop(word, None)
    place = tree.place((*path, "file_keys"))
    _take(tree, path, ("iotool", "dataset"), _DATASET)
    if not target.get("data_keys"):
        target["data_keys"] = [NO_FILES]
        tell(f"{place}: io.loader.dataset.file_keys: names no files; '{NO_FILES}' stands for them: say -s FILE")
    _entry_range(tree, dataset, target, path, tell)
    schema = dataset.pop("schema", None) or {}
    target["schema"] = {}
    for key, block in schema.items():
        where = (*path, "schema", key)
        tree.places[("iotool", "dataset", "schema", key)] = tree.place(where)
        target["schema"][key] = _parser(block, where, tree, tell)
    _tell_rest(tree, path, tell)


def _entry_range(tree: Tree, dataset: dict[str, Any], target: dict[str, Any], path: KeyPath, tell: Tell) -> None:
    number, first = dataset.get("n_entry"), dataset.get("n_skip") or 0
    if number is not None:
        target["entry_range"] = [first, first + number]
        dataset.pop("n_skip", None)
        del dataset["n_entry"]
    elif dataset.get("n_skip", ...) is None:
        del dataset["n_skip"]


def _parser(block: Any, path: KeyPath, tree: Tree, tell: Tell) -> dict[str, Any]:
    """Return an entry of the schema in the form with ``parser`` and ``args``."""
    name, arguments = selected(block)
    parser = _PARSERS.get(str(name), str(name) if str(name).startswith("parse_") else f"parse_{name}")
    info = arguments.pop("particle_info", None)
    if isinstance(info, dict):
        arguments |= info
    if parser == "parse_cluster3d" and (info or "particle_event" in arguments):
        arguments["add_particle_info"] = True
    known = _PARSER_ARGUMENTS.get(parser)
    for key in [key for key in arguments if known is not None and key not in known]:
        tell(f"{tree.place(path)}: {'.'.join(path)}: {key}: {NO_COUNTERPART}")
        del arguments[key]
    return {"parser": parser, "args": arguments}


def _take(tree: Tree, old: KeyPath, new: KeyPath, names: dict[str, str]) -> None:
    """Move keys that have a value; keys without a value are left out, so that the defaults apply."""
    block = get(tree, old)
    for key in [key for key in names if isinstance(block, dict) and key in block]:
        if block[key] is None:
            del block[key]
        else:
            move(tree, (*old, key), (*new, names[key]))


def _tell_rest(tree: Tree, path: KeyPath, tell: Tell) -> None:
    """Leave out a block, a line for each of its keys that is still there."""
    block = get(tree, path)
    if isinstance(block, dict):
        for key in list(block):
            drop(tree, (*path, key), tell, NO_COUNTERPART)
        holder = get(tree, path[:-1], tree.values) if path[:-1] else tree.values
        del holder[path[-1]]
