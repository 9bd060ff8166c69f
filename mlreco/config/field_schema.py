"""Parsers in configurations of lartpc_mlreco3d that this program does not have, or that have other names here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlreco.config.merge import Tree
from mlreco.errors import UserError

PARSER_NAMES = {
    "parse_cluster3d_clean": "parse_cluster3d_clean_full",
    "parse_cluster3d_full": "parse_cluster3d_clean_full",
    "parse_particle_asis": "parse_particles",
}
"""Names of parsers there -> here, where the rows are those of the image of classes."""

FOREIGN_PARSERS = {
    "parse_cluster2d": "clusters of 2D images",
    "parse_cluster3d_charge_rescaled": "charges of detectors with ghost points",
    "parse_cluster3d_fragment": "fragments that DBSCAN made of the truth",
    "parse_cluster3d_kinematics": "momenta for a graph network",
    "parse_cluster3d_kinematics_clean": "momenta for a graph network",
    "parse_cluster3d_scales": "labels of several image sizes",
    "parse_cluster3d_types": "particle types for a graph network",
    "parse_crthits": "hits of a cosmic ray tagger",
    "parse_dbscan": "fragments that DBSCAN made of the truth",
    "parse_em_primaries": "starting points of showers",
    "parse_meta2d": "the geometry of 2D images",
    "parse_meta3d": "the geometry of the image, which every image has here",
    "parse_neutrinos": "true neutrinos",
    "parse_opflash": "flashes of light",
    "parse_particle_coords": "points of particles",
    "parse_particle_graph": "true edges for a graph network",
    "parse_particle_graph_corrected": "true edges for a graph network",
    "parse_particle_points": "true points for PPN",
    "parse_particle_points_with_tagging": "true points for PPN",
    "parse_particle_points_with_tagged_primaries": "true points for PPN",
    "parse_particle_singlep_einit": "one energy an event",
    "parse_particle_singlep_pdg": "one particle type an event",
    "parse_run_info": "run and event numbers, which every event has here",
    "parse_sparse2d": "2D images",
    "parse_sparse3d_charge_rescaled": "charges of detectors with ghost points",
    "parse_sparse3d_ghost": "labels of ghost points",
    "parse_sparse3d_scn_scales": "labels of several image sizes",
    "parse_trigger": "triggers",
    "parse_weights": "weights of voxels",
}
"""Parsers without a counterpart -> what they make."""


def translate_schema(tree: Tree, tell: Callable[[str], None]) -> None:
    """Rename parsers, and leave out entries that no network reads and that no parser here can make.

    Args:
        tree: the configuration; changed in place.
        tell: takes a line for each entry that is left out.

    Raises:
        UserError: a network or loss needs an entry that no parser here can make.
    """
    dataset = (tree.values.get("iotool") or {}).get("dataset")
    schema = dataset.get("schema") if isinstance(dataset, dict) else None
    if not isinstance(schema, dict):
        return
    for key, entry in list(schema.items()):
        name = parser_name(entry)
        if name in PARSER_NAMES:
            _rename(entry, PARSER_NAMES[name])
        elif name in FOREIGN_PARSERS:
            where = f"{tree.place(('iotool', 'dataset', 'schema', str(key)))}: iotool.dataset.schema.{key}"
            reader = _reader(tree.values.get("model") or {}, key)
            if reader:
                raise UserError(
                    f"{where}: {name} makes {FOREIGN_PARSERS[name]}; mlreco has no such parser, and {reader} names it"
                )
            tell(f"{where}: {name} makes {FOREIGN_PARSERS[name]}; mlreco has no such parser, left out")
            del schema[key]


def parser_name(entry: Any) -> str | None:
    """Return the name of the parser of an entry, in either form."""
    name = entry.get("parser") if isinstance(entry, dict) else entry[0] if isinstance(entry, list) and entry else None
    return name if isinstance(name, str) else None


def _rename(entry: Any, name: str) -> None:
    if isinstance(entry, dict):
        entry["parser"] = name
    else:
        entry[0] = name


def _reader(model: Any, key: str) -> str | None:
    """Return the list of ``model`` that names an entry of the schema."""
    if not isinstance(model, dict):
        return None
    lists = ("network_input", "loss_input")
    return next((f"model.{name}" for name in lists if key in (model.get(name) or ())), None)
