"""The table of particles: one row an instance, in the order of the voxel sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlreco.compiled import compiled
from mlreco.iotools.larcv3.extension import CHILDREN_FIELD
from mlreco.iotools.larcv3.layout import PARTICLE, POINT
from mlreco.semantics import UNKNOWN
from mlreco.simulation.image import Image
from mlreco.simulation.modes import SHOWER
from mlreco.simulation.products import MM_TO_CM
from mlreco.simulation.truth import ELECTRON, PHOTON, Family

EXTRA_FIELDS = (("group_id", "<i8"), ("interaction_id", "<i8"), ("parent_id", "<i8"), ("num_voxels", "<i8"))
"""Fields that LArCV2 has and LArCV3 lacks; the writer puts them beside the table."""


def particle_table(
    image: Image,
    deposits: np.ndarray,
    tracks: np.ndarray,
    family: Family,
    processes: Sequence[str],
    interactions: np.ndarray,
) -> np.ndarray:
    """Describe the instances of an image.

    Fields with a convention of their own: ``id`` is the number of the instance; ``parent_id`` that of the nearest
    ancestor that is in the image, -1 where there is none. ``group_id`` (also ``mcst_index``) is the first instance of
    the electromagnetic family and differs from ``id`` only for a photon that a Michel or delta electron radiated, where
    the mode splits these. ``interaction_id`` (also ``mct_index``) is the number that the primary was given.
    ``first_step`` and ``last_step`` are the first and last deposit of the track that begins the instance, or, for a
    photon, those of its family nearest to and farthest from where it was made; their times are the start and end of the
    track. Track numbers and processes are those of Geant4.

    Args:
        image: the image.
        deposits: (D,) `geant4.DEPOSIT`.
        tracks: (T,) `geant4.TRACK`, sorted by number.
        family: the instances of the tracks.
        processes: names of the processes.
        interactions: (P,) interaction of each primary; their tracks are the first.

    Returns:
        (K,) structured array: LArCV3's fields, `EXTRA_FIELDS` and ``children_id`` (K, C), filled up with -1.
    """
    roots, parents = image.roots, family.parents
    parent_ids = _instances_above(roots, parents, image.track_instances)
    children = _children(parent_ids)
    fields = [(name, PARTICLE[name]) for name in PARTICLE.names or ()] + [*EXTRA_FIELDS]
    table = np.zeros(len(roots), [*fields, (CHILDREN_FIELD, "<i8", (children.shape[1],))])
    table["id"] = np.arange(len(roots))
    table[CHILDREN_FIELD] = children
    table["parent_id"] = parent_ids
    table["num_voxels"] = np.bincount(image.instances, minlength=len(roots))
    table["shape"] = image.mlreco_classes  # numbered as LArCV2 and SPINE number shapes
    table["current_type"] = table["interaction_type"] = -1
    table["energy_deposit"] = image.deposited
    _tell_tracks(table, tracks[roots], processes)
    starts, ends = _first_and_last(image, deposits, tracks)
    table["first_step"] = _points(starts, tracks["start_time"][roots])
    table["last_step"] = _points(ends, tracks["end_time"][roots])
    ancestors = _ancestors(parents)[roots]
    _tell_origins(table, tracks, parents[roots], tracks[ancestors])
    table["interaction_id"] = table["mct_index"] = interactions[ancestors]
    electromagnetic = (parents[roots] >= 0) & _electromagnetic(tracks["pdg"][parents[roots]])
    radiated = electromagnetic & (image.classes == SHOWER)
    table["group_id"] = table["mcst_index"] = _groups(parent_ids, radiated)
    return table


def _tell_tracks(table: np.ndarray, track: np.ndarray, processes: Sequence[str]) -> None:
    """Write the data of the track (K,) that begins each instance."""
    momentum = np.sqrt(track["kinetic"] * (track["kinetic"] + 2 * track["mass"]))[:, None] * track["direction"]
    table["px"], table["py"], table["pz"] = momentum.T
    table["trackid"], table["pdg"] = track["id"], track["pdg"]
    table["energy_init"] = track["kinetic"] + track["mass"]
    table["dist_travel"] = MM_TO_CM * track["length"]
    table["process"] = np.array(processes, "S64")[track["process"]]
    table["vtx"] = _points(track["start"], track["start_time"])
    table["end_pt"] = _points(track["end"], track["end_time"])


def _tell_origins(table: np.ndarray, tracks: np.ndarray, parents: np.ndarray, ancestor: np.ndarray) -> None:
    """Write the primary (K,) that each instance comes from, and its parent's track; ``parents`` are rows, (K,)."""
    table["ancestor_trackid"], table["ancestor_pdg"] = ancestor["id"], ancestor["pdg"]
    table["ancestor_vtx"] = _points(ancestor["start"], ancestor["start_time"])
    secondary = parents >= 0
    parent = tracks[parents[secondary]]
    table["parent_trackid"][secondary], table["parent_pdg"][secondary] = parent["id"], parent["pdg"]
    table["parent_vtx"][secondary] = _points(parent["start"], parent["start_time"])


def _points(positions: np.ndarray, times: np.ndarray) -> np.ndarray:
    points = np.zeros(len(positions), POINT)
    points["x"], points["y"], points["z"] = MM_TO_CM * positions.T
    points["t"] = times
    return points


def _electromagnetic(pdg: np.ndarray) -> np.ndarray:
    return (np.abs(pdg) == ELECTRON) | (pdg == PHOTON)


def _children(parent_ids: np.ndarray) -> np.ndarray:
    """Return the instances that each instance is the parent of, (K, C), filled up with -1."""
    order = np.argsort(parent_ids, kind="stable")
    order = order[parent_ids[order] >= 0]
    counts = np.bincount(parent_ids[order], minlength=len(parent_ids))
    children = np.full((len(parent_ids), max(1, int(counts.max(initial=0)))), UNKNOWN, np.int64)
    children[np.arange(children.shape[1]) < counts[:, None]] = order
    return children


@compiled
def _instances_above(roots: np.ndarray, parents: np.ndarray, track_instances: np.ndarray) -> np.ndarray:
    """Return the instance of the nearest ancestor of each root that is in another instance of the image, or -1."""
    above = np.full(len(roots), -1)
    for number in range(len(roots)):
        row = parents[roots[number]]
        while row >= 0 and (track_instances[row] < 0 or track_instances[row] == number):
            row = parents[row]
        if row >= 0:
            above[number] = track_instances[row]
    return above


@compiled
def _ancestors(parents: np.ndarray) -> np.ndarray:
    """Return the row of the primary that each track comes from."""
    ancestors = np.arange(len(parents))
    for row in range(len(parents)):
        if parents[row] >= 0:
            ancestors[row] = ancestors[parents[row]]
    return ancestors


@compiled
def _groups(parent_ids: np.ndarray, radiated: np.ndarray) -> np.ndarray:
    """Return the first instance of the family of each instance; a parent has a smaller number than what it radiated."""
    groups = np.arange(len(parent_ids))
    for number in range(len(parent_ids)):
        if radiated[number] and parent_ids[number] >= 0:
            groups[number] = groups[parent_ids[number]]
    return groups


def _first_and_last(image: Image, deposits: np.ndarray, tracks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the energy of each instance begins and ends, (K, 3) and (K, 3), mm."""
    roots = image.roots
    numbers, starts = tracks["id"][roots], tracks["start"][roots]
    first, last, nearest, farthest = _extreme_deposits(
        image.deposit_instances, deposits["track"], deposits["start"], numbers, starts
    )
    through_family = (tracks["pdg"][roots] == PHOTON) | (first < 0)
    return (
        deposits["start"][np.where(through_family, nearest, first)],
        deposits["end"][np.where(through_family, farthest, last)],
    )


@compiled
def _extreme_deposits(
    instances: np.ndarray, deposit_tracks: np.ndarray, positions: np.ndarray, numbers: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the first and last deposit of each instance's own track, -1 for none; the nearest and farthest of all."""
    first, last = np.full(len(numbers), -1), np.full(len(numbers), -1)
    nearest, farthest = np.full(len(numbers), -1), np.full(len(numbers), -1)
    least, most = np.full(len(numbers), np.inf), np.full(len(numbers), -1.0)
    for row in range(len(instances)):
        number = instances[row]
        if number < 0:
            continue
        if deposit_tracks[row] == numbers[number]:
            if first[number] < 0:
                first[number] = row
            last[number] = row
        distance = 0.0
        for axis in range(3):
            distance += (positions[row, axis] - starts[number, axis]) ** 2
        if distance < least[number]:
            least[number], nearest[number] = distance, row
        if distance >= most[number]:
            most[number], farthest[number] = distance, row
    return first, last, nearest, farthest
