"""Columns of the table of particles, from what is known of their voxels, paths, showers and relations."""

from __future__ import annotations

import numpy as np

from mlreco.errors import UserError
from mlreco.particles.columns import DEDX, INTERACTION, particle_type, put_vectors, vectors_of
from mlreco.particles.csda import STOPPING, csda_range, kinetic_energy
from mlreco.particles.directions import StartLines
from mlreco.particles.geometry import means, principal_axes
from mlreco.particles.grouping import ParticleVoxels
from mlreco.particles.identity import photon_probability
from mlreco.particles.interactions.relations import Relations
from mlreco.particles.joined import JoinedImages, of_particles
from mlreco.particles.junctions import REACH
from mlreco.particles.kinds import Kind, most_common
from mlreco.particles.liquid_argon import MASSES, MUON_OF_PION
from mlreco.particles.profiles import Profiles
from mlreco.particles.proximity import Proximity
from mlreco.particles.scattering import PLACES, hidden_by_smoothing, scattering_of_likely, scattering_of_line
from mlreco.particles.showers import ShowerStarts, direction_error
from mlreco.particles.stopping import StoppingLikelihood
from mlreco.particles.trajectory import Trajectories

END_STEPS = 6
"""dE/dx at an end of a track is the median of its steps of 0.5 cm from the second to this one: from 0.5 to 3 cm."""

MUON, PION, PROTON, ELECTRON, PHOTON = 13, 211, 2212, 11, 22

SHOWER_RESPONSE = 0.93
"""Part of the energy of a contained shower that is in its voxels: the median of simulated ones, with true instances.
The rest is below the threshold of voxels. Of a chain it is less where it makes particles of parts of showers."""

HIDDEN = REACH
"""A track that starts this near to the vertex of its interaction, or to its parent, began there, cm: as ends that meet
are one junction."""

LIKELY = 0.5
"""A track of which stopping is this probable has a kinetic energy from its range."""


def check_shower_response(value: float) -> None:
    """Refuse what no part of an energy can be.

    Raises:
        UserError: it is no positive number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        raise UserError(f"shower_response is {value!r}; a positive number is needed, near {SHOWER_RESPONSE}")


def empty_table(count: int, scheme_columns: np.dtype) -> np.ndarray:
    """Return a table of which nothing is known: NaN, -1 in columns of integers."""
    table = np.zeros(count, scheme_columns)
    for name in scheme_columns.names or ():
        table[name] = np.nan if scheme_columns[name].kind == "f" else -1
    return table


def describe_voxels(voxels: ParticleVoxels, images: JoinedImages) -> np.ndarray:
    """Return the table of K particles with what sums and means over voxels tell."""
    table = empty_table(len(voxels), particle_type(images.scheme))
    owners, counts = voxels.owners, voxels.counts
    table["particle"], table["voxels"] = voxels.numbers, counts
    table["semantic"] = most_common(images.semantics[voxels.rows], owners, len(voxels))
    if not len(voxels):
        return table
    table["energy"] = np.bincount(owners, voxels.energies, len(voxels))
    centroids, axes, spreads = principal_axes(voxels.positions, owners, counts)
    put_vectors(table, "centroid", centroids)
    put_vectors(table, "axis", axes)
    for number, column in enumerate(spreads.T, 1):
        table[f"spread_{number}"] = column
    columns = {"margin": images.margins, "seediness": images.seediness}
    for name, values in columns.items():
        if values is not None:
            table[name] = means(values[voxels.rows, None], owners, counts)[:, 0]
    if images.confidences is not None:
        confidences, known = of_particles(images.confidences, voxels)
        table["confidence"] = np.where(known, confidences, np.nan)
    if images.scores is not None:
        scores = means(images.scores[voxels.rows], owners, counts)
        for name, column in zip(images.scheme.classes, scores.T, strict=True):
            table[f"score_{name}"] = column
    return table


def relate(table: np.ndarray, relations: Relations, proximity: Proximity) -> None:
    """Fill in interactions, parents and the nearest particle."""
    table["interaction"] = relations.numbers[relations.interaction]
    table["primary"] = relations.primary
    table["parent"] = np.where(relations.parent >= 0, table["particle"][relations.parent], -1)
    table["sense_confidence"] = 1 / (1 + np.exp(-np.abs(relations.odds)))
    table["nearest_distance"] = proximity.distance


def measure_lines(
    table: np.ndarray,
    kinds: np.ndarray,
    voxels: ParticleVoxels,
    trajectories: Trajectories,
    profiles: Profiles,
    relations: Relations,
    stopping: StoppingLikelihood,
    walls: np.ndarray,
    first: StartLines,
) -> None:
    """Fill in what the paths of particles tell; showers and others have ends and a length too, but no dE/dx."""
    rows = np.arange(len(table))
    side = relations.backward.astype(np.int64)
    beyond = np.nan_to_num(walls)
    ends = trajectories.ends + beyond[:, :, None] * trajectories.outward
    put_vectors(table, "start", ends[rows, side])
    put_vectors(table, "end", ends[rows, 1 - side])
    tracks = kinds == Kind.TRACK
    put_vectors(table, "direction", first.directions)
    table["dedx"], table["dedx_start"], table["dedx_end"] = _ionisation(profiles, relations.backward)
    lines = tracks | (kinds == Kind.MICHEL) | (kinds == Kind.DELTA)
    for name in ("dedx", "dedx_start", "dedx_end"):
        table[name][~lines] = np.nan
    measured = tracks & (trajectories.lengths > 0)
    with_energy = measured & (np.diff(profiles.starts) > 0) & np.isfinite(table["energy"]) & (table["energy"] > 0)
    table["score_proton"] = np.where(with_energy, stopping.proton(relations.backward), np.nan)
    table["stops"] = np.where(with_energy, stopping.stops(relations.backward), np.nan)
    filled = _filled(table, trajectories, side, with_energy)
    before = _before_start(trajectories, first.directions, relations, walls, filled)
    lengths = trajectories.lengths + beyond[rows, 1 - side]
    path = lengths + np.where(tracks, np.maximum(before, -trajectories.lengths / 2), beyond[rows, side])
    held = _held_by_michels(table, kinds, relations.parent)
    rest = 0.5 * np.abs(trajectories.outward[rows, 1 - side]) @ voxels.voxel_size
    _measure_ranges(table, measured, path, held, rest, trajectories.spacing, float(voxels.voxel_size.max()))
    scattered = _scattered(table, kinds, first, np.maximum(before, 0.0), lengths, stopping.left(relations.backward))
    table["direction_error"] = first.errors(scattered)


def _scattered(
    table: np.ndarray, kinds: np.ndarray, first: StartLines, before: np.ndarray, lengths: np.ndarray, left: np.ndarray
) -> np.ndarray:
    """Return by how much scattering turns the lines fitted at the starts, (K,) rad; NaN where no energy is known.

    Tracks have the energies of the range from their first voxel to their end (``lengths``, (K,) cm) and what a muon
    and a proton probably have left there (``left``, (K, 2) cm), and may have turned on their way to the first voxel
    (``before``, (K,) cm). Electrons lose their energy evenly along their path.
    """
    ranges = lengths[:, None] + left
    of_tracks = scattering_of_likely(ranges, before, first.lengths, first.turned, table["score_proton"])
    of_tracks = np.where(np.isfinite(table["range_energy_muon"]), of_tracks, np.nan)
    rest = 1 - first.lengths[:, None] * PLACES / np.where(lengths > 0, lengths, np.nan)[:, None]
    energies = table["expected_energy"][:, None] * np.maximum(rest, 0.0)
    of_electrons = scattering_of_line(energies, MASSES["electron"], first.lengths, first.turned)
    electrons = (kinds == Kind.MICHEL) | (kinds == Kind.DELTA)
    return np.where(electrons, of_electrons, of_tracks)


def _filled(table: np.ndarray, trajectories: Trajectories, side: np.ndarray, with_energy: np.ndarray) -> np.ndarray:
    """Return how far the first voxel of tracks is filled beyond its middle, (K,) cm; an unsure sense has either."""
    rows = np.arange(len(table))
    sure = np.nan_to_num(table["sense_confidence"], nan=0.5)
    tips = sure * trajectories.tips[rows, side] + (1 - sure) * trajectories.tips[rows, 1 - side]
    return np.where(with_energy, tips, 0.0)


def _before_start(
    trajectories: Trajectories, directions: np.ndarray, relations: Relations, walls: np.ndarray, filled: np.ndarray
) -> np.ndarray:
    """Return the way from where tracks come from to the middle of their first voxel, (K,) cm.

    It is positive where another particle has their first voxels, negative where smeared charge reaches back beyond the
    origin, and 0 for tracks that start farther away than `HIDDEN`. Where nothing but the track tells its origin it is
    the way to the wall (``walls``, (K, 2)) or what its first voxel is filled (``filled``, (K,)).
    """
    rows, side = np.arange(len(filled)), relations.backward.astype(np.int64)
    way = ((trajectories.ends[rows, side] - relations.origins) * directions).sum(axis=1)
    alone = np.where(np.isnan(walls[rows, side]), filled, walls[rows, side])
    return np.where(np.isnan(way), alone, np.where(np.abs(way) <= HIDDEN, way, 0.0))


def _held_by_michels(table: np.ndarray, kinds: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """Return the energy of each track that the voxels of its Michel electrons hold, (K,) MeV; below 0 the reverse."""
    electrons = np.flatnonzero((kinds == Kind.MICHEL) & (parent >= 0))
    energy = table["energy"][electrons].astype(np.float64) - table["expected_energy"][electrons]
    return np.bincount(parent[electrons], np.nan_to_num(energy), len(table))


def _measure_ranges(
    table: np.ndarray,
    tracks: np.ndarray,
    path: np.ndarray,
    held: np.ndarray,
    rest: np.ndarray,
    spacing: float,
    voxel: float,
) -> None:
    """Fill in lengths and the energies of ranges.

    Tracks that stop get what their scattering hides of them, and the last of their path where a Michel electron holds
    it: a particle with that energy (``held``, (K,) MeV) goes so far. Before that it has filled its own last voxel, of
    which the path has one half and not the other (``rest``, (K,) cm). Of a pion the electron holds its muon first.
    """
    of_pion = np.where(held > 0, np.maximum(held - MUON_OF_PION, 0.0), held)
    energies = {particle: of_pion if particle == "pion" else held for particle in STOPPING}
    last = {particle: np.sign(energy) * csda_range(np.abs(energy), particle) for particle, energy in energies.items()}
    last = {particle: np.maximum(way + np.clip(way, 0.0, rest), -path / 2) for particle, way in last.items()}
    more = {particle: way + hidden_by_smoothing(path + way, particle, spacing, voxel) for particle, way in last.items()}
    for particle, way in more.items():
        table[f"range_energy_{particle}"] = np.where(tracks, kinetic_energy(path + way, particle), np.nan)
    beyond = np.where(table["score_proton"] > LIKELY, more["proton"], more["muon"])
    table["length"] = np.where(path > 0, path + np.where(table["stops"] > LIKELY, beyond, 0.0), np.nan)


def measure_showers(table: np.ndarray, kinds: np.ndarray, showers: ShowerStarts, relations: Relations) -> None:
    """Fill in start, direction and dE/dx of showers, and how far they start from the vertex."""
    wanted = np.flatnonzero(kinds == Kind.SHOWER)
    side = relations.backward[wanted].astype(np.int64)
    ends = {
        "start": showers.positions[wanted, side],
        "end": showers.positions[wanted, 1 - side],
        "direction": showers.directions[wanted, side],
    }
    for name, values in ends.items():
        vectors = vectors_of(table, name)
        vectors[wanted] = values
        put_vectors(table, name, vectors)
    table["dedx_start"][wanted] = showers.dedx[wanted, side]
    known = np.isfinite(ends["direction"]).all(axis=1)
    errors = np.minimum(direction_error(table["energy"][wanted]), np.pi / 2)
    table["direction_error"][wanted] = np.where(known, errors, np.nan)
    from_vertex = np.linalg.norm(vectors_of(table, "start") - relations.vertices[relations.interaction], axis=1)
    members = np.bincount(relations.interaction, relations.primary, len(relations.vertices))
    table["vertex_distance"] = np.where(members[relations.interaction] > 1, from_vertex, np.nan)


def contain(table: np.ndarray, voxels: ParticleVoxels, images: JoinedImages, margin: float) -> None:
    """Fill in the distance to the nearest wall of its image, and whether it is more than a margin."""
    if images.shapes is None:
        return
    low, high = images.corners()
    events = np.repeat(voxels.events, voxels.counts)
    distance = np.minimum(voxels.positions - low[events], high[events] - voxels.positions)
    table["wall_distance"] = np.minimum.reduceat(distance, voxels.starts[:-1]).min(axis=1)
    table["contained"] = table["wall_distance"] > margin


def identify(table: np.ndarray, kinds: np.ndarray, shower_response: float) -> None:
    """Fill in what each particle most probably is, and its kinetic energy under that hypothesis.

    That of tracks which stop is from their range, that of showers that of their voxels over ``shower_response``, that
    of Michel and delta electrons what is expected of their voxels.
    """
    showers = kinds == Kind.SHOWER
    primary = table["primary"] == 1
    gap = np.where(showers & primary, table["vertex_distance"], np.nan)
    photon = photon_probability(np.where(showers, table["dedx_start"], np.nan), gap)
    table["score_photon"] = np.where(showers, photon, np.nan)
    pdg = np.full(len(table), -1, np.int64)
    pdg[(kinds == Kind.MICHEL) | (kinds == Kind.DELTA)] = ELECTRON
    pdg[showers & (photon <= LIKELY)] = ELECTRON
    pdg[showers & (photon > LIKELY)] = PHOTON
    tracks = kinds == Kind.TRACK
    pdg[tracks & (table["score_proton"] > LIKELY)] = PROTON
    pdg[tracks & (table["score_proton"] <= LIKELY)] = MUON
    table["pdg"] = pdg
    by_range = np.where(pdg == PROTON, table["range_energy_proton"], table["range_energy_muon"])
    stops = (table["stops"] > LIKELY) & (table["contained"] != 0)
    charge = np.where((kinds == Kind.MICHEL) | (kinds == Kind.DELTA), table["expected_energy"], table["energy"])
    seen = np.where((charge > 0) & np.isfinite(charge), charge, np.nan)
    energy = np.where(tracks, np.where(stops, by_range, np.nan), seen)
    energy = np.where(showers, energy / shower_response, energy)
    table["kinetic_energy"] = np.where((pdg >= 0) | showers, energy, np.nan)


def interaction_table(table: np.ndarray, relations: Relations) -> np.ndarray:
    """Return the table of interactions."""
    count = len(relations.vertices)
    rows = empty_table(count, INTERACTION)
    rows["interaction"] = relations.numbers
    rows["particles"] = np.bincount(relations.interaction, minlength=count)
    rows["primaries"] = np.bincount(relations.interaction, relations.primary, count)
    put_vectors(rows, "vertex", relations.vertices)
    rows["vertex_spread"] = relations.spreads
    rows["energy"] = np.bincount(relations.interaction, table["energy"], count)
    return rows


def dedx_table(
    table: np.ndarray, kinds: np.ndarray, profiles: Profiles, trajectories: Trajectories, relations: Relations
) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps along tracks, those of each from its first end to its second, and the rows of their tracks."""
    owners = np.repeat(np.arange(len(table)), np.diff(profiles.starts))
    keep = kinds[owners] == Kind.TRACK
    owners = owners[keep]
    rows = np.zeros(len(owners), DEDX)
    length, first = trajectories.lengths[owners], profiles.distance[keep]
    backward = relations.backward[owners]
    rows["particle"] = table["particle"][owners]
    rows["distance"] = np.where(backward, length - first, first)
    rows["residual_range"] = np.where(backward, first, length - first)
    rows["width"], rows["dedx"] = profiles.width[keep], profiles.dedx[keep]
    return rows, owners


def _ionisation(profiles: Profiles, backward: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the median dE/dx of K particles along their whole path, and at its start and end."""
    owners = np.repeat(np.arange(len(backward)), np.diff(profiles.starts))
    counts = np.diff(profiles.starts)[owners]
    place = np.arange(len(owners)) - profiles.starts[owners]
    whole = (counts <= 2) | ((place > 0) & (place < counts - 1))
    at_first = ((place > 0) & (place < END_STEPS)) | (counts == 1)
    at_last = ((place < counts - 1) & (place >= counts - END_STEPS)) | (counts == 1)
    first, last = (
        _medians(profiles.dedx, owners, at_first, backward),
        _medians(profiles.dedx, owners, at_last, backward),
    )
    return (
        _medians(profiles.dedx, owners, whole, backward),
        np.where(backward, last, first),
        np.where(backward, first, last),
    )


def _medians(values: np.ndarray, owners: np.ndarray, chosen: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the median of the chosen values of each group that are known, NaN for none."""
    chosen = chosen & np.isfinite(values)
    values, owners = values[chosen], owners[chosen]
    order = np.lexsort((values, owners))
    values = values[order]
    counts = np.bincount(owners, minlength=len(groups))
    first = np.cumsum(counts) - counts
    found = np.flatnonzero(counts)
    result = np.full(len(groups), np.nan)
    low, high = first + (counts - 1) // 2, first + counts // 2
    result[found] = (values[low[found]] + values[high[found]]) / 2
    return result
