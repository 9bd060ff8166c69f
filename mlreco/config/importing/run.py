"""From a file of lartpc_mlreco3d or SPINE to the text of a configuration of this program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlreco.config.field import translate
from mlreco.config.importing.chains import rearrange
from mlreco.config.importing.compose import read_composed
from mlreco.config.importing.field_spice import translate_field_spice
from mlreco.config.importing.leftovers import drop_unknown_keys, drop_weights
from mlreco.config.importing.spine import is_spine, translate_spine
from mlreco.config.load import parse_config
from mlreco.config.merge import Tree
from mlreco.config.rewrite import Tell, get, move
from mlreco.errors import UserError
from mlreco.frozen import thaw
from mlreco.semantics import MLRECO, PILARNET, class_scheme

SECTIONS = ("iotool", "model", "trainval", "post_processing")


@dataclass(frozen=True)
class Imported:
    """A configuration made from that of another program.

    Attributes:
        text: the configuration as YAML.
        notices: a line for each key without a counterpart.
    """

    text: str
    notices: tuple[str, ...]


def import_config(path: str | Path, scheme: str | None = None, without: Iterable[str] = ()) -> Imported:
    """Read a configuration of lartpc_mlreco3d or SPINE and write it as one of this program, checked.

    Args:
        path: the file; what it includes is read too.
        scheme: numbering of the semantic classes; by default what the file's products and program use.
        without: first letters of the names of stages to leave out.

    Raises:
        UserError: a stage or a form of one that this program does not have, or a mistake in the file.
    """
    path = Path(path)
    if scheme is not None:
        class_scheme(scheme)
    tree = read_composed(path)
    notices: list[str] = []
    if scheme is not None and isinstance(tree.values.get("model"), dict):
        tree.values["model"]["class_scheme"] = scheme
    if is_spine(tree):
        translate_spine(tree, notices.append)
    elif "iotool" in tree.values and isinstance(tree.values.get("model"), dict):
        if "training" in tree.values and "trainval" not in tree.values:
            move(tree, ("training",), ("trainval",))
    else:
        raise UserError(f"{path}: neither of lartpc_mlreco3d (iotool, model, trainval) nor of SPINE (base, io, model)")
    _choose_scheme(tree, scheme, notices.append)
    rearrange(tree, without, notices.append)
    translate_field_spice(tree, notices.append)
    drop_weights(tree, notices.append)
    notices += translate(tree)
    drop_unknown_keys(tree, notices.append)
    values = {name: thaw(tree.values[name]) for name in SECTIONS if tree.values.get(name)}
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    notices += [line for line in parse_config(text, path).notices if line not in notices]
    return Imported(text, tuple(notices))


def _choose_scheme(tree: Tree, wanted: str | None, tell: Tell) -> None:
    """Set ``model.class_scheme``, unless it was asked for: as the file says, or as its products are numbered."""
    model = tree.values["model"]
    if wanted is not None:
        return
    if "class_scheme" not in model:
        old = "sparse3d_fivetypes" in str(get(tree, ("iotool", "dataset", "schema")))
        model["class_scheme"] = (PILARNET if old else MLRECO).name
    names = ", ".join(f"{number} {name}" for number, name in enumerate(class_scheme(model["class_scheme"]).classes))
    tell(f"{tree.source}: model.class_scheme: '{model['class_scheme']}' ({names}); --class-scheme changes it")
