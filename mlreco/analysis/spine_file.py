"""Writes particles to a file that SPINE's reader turns into ``RecoParticle`` and ``RecoInteraction``.

Fields are those of SPINE 1.4. Fields that are not written have SPINE's defaults; unknown values are NaN or -1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlreco.analysis.events import events_with_particles, scheme_of
from mlreco.errors import UserError
from mlreco.iotools.hdf5file import atomic_hdf5
from mlreco.iotools.output.layout import FORMAT, FORMAT_VERSION, create_table, extend_table
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.particles.columns import vectors_of
from mlreco.particles.csda import STOPPING
from mlreco.post_processing.predicted import predicted_instances
from mlreco.progress import Progress
from mlreco.semantics import ClassScheme
from mlreco.version import __version__

SHAPES = {"Shower": 0, "HIP": 1, "MIP": 1, "Track": 1, "Michel": 2, "Delta": 3, "LowE": 4}
PIDS = {22: 0, 11: 1, 13: 2, 211: 3, 2212: 4}
"""PDG code -> SPINE's particle number: photon, electron, muon, pion, proton; 5 is the kaon."""

_SPECIES = 6
_POOL = "_var_offsets_0"

PARTICLE = np.dtype(
    [
        ("id", "<i8"),
        ("interaction_id", "<i8"),
        ("shape", "<i8"),
        ("pid", "<i8"),
        ("is_primary", "u1"),
        ("is_contained", "u1"),
        *((name, "<f4") for name in ("length", "calo_ke", "csda_ke", "start_dedx", "end_dedx", "vertex_distance")),
        *((name, "<f4", (3,)) for name in ("start_point", "end_point", "start_dir")),
        ("pid_scores", "<f4", (_SPECIES,)),
        ("csda_ke_per_pid", "<f4", (_SPECIES,)),
        (_POOL, "<i8", (2,)),
    ]
)
INTERACTION = np.dtype([("id", "<i8"), ("vertex", "<f4", (3,)), (_POOL, "<i8", (2,))])


@dataclass
class _Objects:
    """A product of objects with one list of integers each.

    Attributes:
        fixed: the rows of the objects.
        values: their lists, one after the other.
        offsets: where each event begins.
    """

    fixed: h5py.Dataset
    values: h5py.Dataset
    offsets: h5py.Dataset

    @classmethod
    def create(cls, products: h5py.Group, name: str, class_name: str, dtype: np.dtype, field: str) -> _Objects:
        group = products.create_group(name)
        group.attrs.update({"kind": "objects", "class_name": class_name, "scalar": False})
        pool = group.create_group("variables").create_group("pool_0")
        pool.attrs.update({"kind": "array", "fields": json.dumps([field])})
        made = cls(
            create_table(group, "fixed", (), dtype),
            create_table(pool, "values", (), np.dtype("<i8")),
            create_table(group, "event_offsets", (), np.dtype("<i8")),
        )
        extend_table(made.offsets, np.zeros(1, np.int64))
        return made

    def append(self, rows: np.ndarray, lists: Sequence[np.ndarray]) -> None:
        """Add the objects of an event."""
        ends = len(self.values) + np.cumsum([len(one) for one in lists], dtype=np.int64)
        rows[_POOL][:, 1] = ends
        rows[_POOL][:, 0] = ends - [len(one) for one in lists]
        extend_table(self.values, np.concatenate([np.empty(0, np.int64), *lists]))
        extend_table(self.fixed, rows)
        extend_table(self.offsets, np.array([len(self.fixed)], np.int64))


def write_spine_file(path: str | Path, output: str | Path) -> int:
    """Write ``reco_particles``, ``reco_interactions`` and the voxels of an output file for SPINE's reader.

    Voxels are ``points``, (N, 3) cm, and ``depositions``, (N,) MeV; ``index`` of a particle are rows of these.

    Args:
        path: an output file of mlreco.
        output: file to write; it appears when complete.

    Returns:
        The number of events.

    Raises:
        UserError: no output file, or without particles; the file cannot be written.
    """
    voxels = ("coordinates", "energies", "image_origin", "voxel_size")
    with HDF5Reader(path) as reader, atomic_hdf5(Path(output), ("v110", "v110")) as opened:
        scheme, instances = scheme_of(reader), predicted_instances(reader.products)
        missing = [name for name in (*voxels, instances) if name not in reader.products]
        if missing:
            raise UserError(f"{path}: no product '{missing[0]}', which SPINE's particles need")
        file = opened.file
        info = file.create_group("info")
        info.attrs.update(_information(reader))
        products = file.create_group("products")
        particles = _Objects.create(products, "reco_particles", "RecoParticle", PARTICLE, "index")
        interactions = _Objects.create(products, "reco_interactions", "RecoInteraction", INTERACTION, "particle_ids")
        arrays = {name: _array(products, name, shape) for name, shape in (("points", (3,)), ("depositions", ()))}
        with Progress("spine", total=len(reader)) as progress:
            for event in events_with_particles(reader, (*voxels, instances)):
                particles.append(*_particles(event, event[instances], scheme))
                interactions.append(*_interactions(event))
                positions = event["image_origin"][0] + (event["coordinates"] + 0.5) * event["voxel_size"][0]
                _extend(arrays["points"], positions.astype(np.float32))
                _extend(arrays["depositions"], event["energies"].astype(np.float32))
                progress.advance()
        file.create_dataset("events", data=np.arange(len(reader), dtype=np.int64))
        opened.check()
        info.attrs["complete"] = True
        return len(reader)


def _information(reader: HDF5Reader) -> Mapping[str, Any]:
    return {
        "cfg": "",
        "version": f"{FORMAT_VERSION}",
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "mlreco_version": __version__,
        "source": str(reader.path),
        "complete": False,
    }


def _array(products: h5py.Group, name: str, shape: tuple[int, ...]) -> h5py.Group:
    group = products.create_group(name)
    group.attrs.update({"kind": "array", "scalar": False})
    create_table(group, "values", shape, np.dtype("<f4"))
    extend_table(create_table(group, "event_offsets", (), np.dtype("<i8")), np.zeros(1, np.int64))
    return group


def _extend(group: h5py.Group, rows: np.ndarray) -> None:
    extend_table(group["values"], rows)
    extend_table(group["event_offsets"], np.array([len(group["values"])], np.int64))


def _particles(
    event: Mapping[str, np.ndarray], instances: np.ndarray, scheme: ClassScheme
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the rows ``PARTICLE`` of an event and the rows of the voxels of each particle."""
    table = event["particles"]
    rows = np.zeros(len(table), PARTICLE)
    rows["id"] = np.arange(len(table))
    rows["interaction_id"] = table["interaction"]
    shapes = np.array([*(SHAPES.get(name, -1) for name in scheme.classes), -1])
    known = (table["semantic"] >= 0) & (table["semantic"] < len(scheme))
    rows["shape"] = shapes[np.where(known, table["semantic"], len(scheme))]
    rows["pid"] = -1
    for code, number in PIDS.items():
        rows["pid"][table["pdg"] == code] = number
    rows["is_primary"], rows["is_contained"] = table["primary"] == 1, table["contained"] == 1
    columns = {"length": "length", "calo_ke": "energy", "start_dedx": "dedx_start", "end_dedx": "dedx_end"}
    for name, column in (columns | {"vertex_distance": "vertex_distance"}).items():
        rows[name] = table[column]
    rows["length"] = np.where(rows["shape"] == SHAPES["Track"], rows["length"], np.nan)
    for name, column in (("start_point", "start"), ("end_point", "end"), ("start_dir", "direction")):
        rows[name] = vectors_of(table, column)
    rows["csda_ke_per_pid"], rows["pid_scores"] = np.nan, np.nan
    for particle, code in zip(STOPPING, (13, 211, 2212), strict=True):
        rows["csda_ke_per_pid"][:, PIDS[code]] = table[f"range_energy_{particle}"]
    own = np.where(rows["pid"] >= 0, rows["pid"], 0)
    rows["csda_ke"] = np.where(rows["pid"] >= 0, rows["csda_ke_per_pid"][np.arange(len(rows)), own], np.nan)
    for score, code, other in (("score_proton", 2212, 13), ("score_photon", 22, 11)):
        known = np.isfinite(table[score])
        rows["pid_scores"][known, PIDS[code]] = table[score][known]
        rows["pid_scores"][known, PIDS[other]] = 1 - table[score][known]
    order = np.argsort(instances, kind="stable")
    first = np.searchsorted(instances[order], table["particle"], "left")
    last = np.searchsorted(instances[order], table["particle"], "right")
    return rows, [order[a:b] for a, b in zip(first, last, strict=True)]


def _interactions(event: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the rows ``INTERACTION`` of an event and the ids of the particles of each."""
    table = event["interactions"]
    rows = np.zeros(len(table), INTERACTION)
    rows["id"] = table["interaction"]
    rows["vertex"] = vectors_of(table, "vertex")
    owners = event["particles"]["interaction"]
    return rows, [np.flatnonzero(owners == number) for number in table["interaction"]]
