"""Removes and reports the keys that are left after the translation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pydantic import BaseModel

from mlreco.config.check import OTHER_NAMES
from mlreco.config.importing.chains import LOSS, MODULES
from mlreco.config.merge import Tree
from mlreco.config.names import FILLED_IN, FREEZE_WORDS
from mlreco.config.rewrite import Tell, drop, get
from mlreco.config.sections.iotool import Dataset, IOTool, Sampler
from mlreco.config.sections.model import Model
from mlreco.config.sections.trainval import IGNORED, TrainVal
from mlreco.config.signature import Parameters
from mlreco.models.blocks import BLOCK_KEYS
from mlreco.yaml_reader import KeyPath

NO_COUNTERPART = "no counterpart in mlreco, left out"
_OTHER_WEIGHTS = "weights of another program cannot be loaded, left out"
_TYPED: tuple[tuple[KeyPath, type[BaseModel], tuple[str, ...]], ...] = (
    (("iotool",), IOTool, ()),
    (("iotool", "sampler"), Sampler, ()),
    (("iotool", "dataset"), Dataset, ()),
    (("model",), Model, ()),
    (("trainval",), TrainVal, ("learning_rate",)),
)
"""Section -> its type, and keys that it takes beside its fields."""


def drop_weights(tree: Tree, tell: Tell) -> None:
    """Take out the paths of weights."""
    blocks = [(*MODULES, name) for name in get(tree, MODULES)]
    for path in [("trainval",), *blocks, *((*block, "spatial_embeddings") for block in blocks)]:
        for key in ("model_path", "model_name"):
            value = get(tree, (*path, key))
            if value:
                drop(tree, (*path, key), tell, _OTHER_WEIGHTS)
            elif value is not None:
                del get(tree, path)[key]


def drop_unknown_keys(tree: Tree, tell: Tell) -> None:
    """Remove keys that the sections, stages and post-processors of this program do not have."""
    for path, kind, also in _TYPED:
        names = {field.alias or name for name, field in kind.model_fields.items()}
        _drop_all_but(tree, path, {*names, *also, *OTHER_NAMES.get(kind.__name__, ())}, tell)
    for key in IGNORED:
        if key in (tree.values.get("trainval") or {}):
            drop(tree, ("trainval", key), tell)
    models = import_module("mlreco.models.factories")
    for name in list(get(tree, MODULES)):
        stage, loss = models.construct(name.removesuffix(LOSS))
        taken = Parameters.of(loss if name.endswith(LOSS) else stage, FILLED_IN).types
        options: tuple[str, ...] = () if name.endswith(LOSS) else (*BLOCK_KEYS, *FREEZE_WORDS, "thresholds")
        _drop_all_but(tree, (*MODULES, name), {*taken, *options}, tell)
        if name.endswith(LOSS) and not get(tree, (*MODULES, name)):
            del get(tree, MODULES)[name]
    processors = import_module("mlreco.post_processing.factories").POST_PROCESSORS
    known = {name for name in tree.values.get("post_processing") or {} if name in processors}
    _drop_all_but(tree, ("post_processing",), known, tell)
    for name in [name for name in tree.values if name not in ("iotool", "model", "trainval", "post_processing")]:
        drop(tree, (name,), tell, NO_COUNTERPART)


def _drop_all_but(tree: Tree, path: KeyPath, known: set[Any], tell: Tell) -> None:
    block = get(tree, path)
    for key in [key for key in block if key not in known] if isinstance(block, dict) else ():
        drop(tree, (*path, key), tell, NO_COUNTERPART)
