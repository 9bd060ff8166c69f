"""Small random events, and slow obvious versions of what the package does."""

import h5py
import numpy as np

from mlreco.errors import UserError
from mlreco.iotools import ClusterVoxels, LArCV3Writer, open_reader
from mlreco.iotools.larcv3 import PARTICLE
from mlreco.voxels import EventVoxels, ImageMeta

META = ImageMeta((9, 7, 5), (-1.0, 2.0, 0.5), (0.3, 0.3, 0.3))
SCHEMA = {
    "input_data": {"parser": "parse_sparse3d", "args": {"sparse_event_list": ["sparse3d_pcluster"]}},
    "segment_label": ["parse_sparse3d_scn", "sparse3d_pcluster_semantics"],
    "cluster_label": {
        "parser": "parse_cluster3d_clean_full",
        "args": {
            "cluster_event": "cluster3d_pcluster",
            "particle_event": "particle_pcluster",
            "sparse_semantics_event": "sparse3d_pcluster_semantics",
            "sparse_value_event": "sparse3d_pcluster",
        },
    },
}


def image(rng, count, meta=META, values=None, producer="pcluster"):
    chosen = np.sort(rng.choice(np.prod(meta.shape), size=count, replace=False))
    coordinates = np.stack(np.unravel_index(chosen, meta.shape), axis=1).astype(np.int32)
    values = rng.random(count) if values is None else values
    return EventVoxels(coordinates, np.asarray(values, dtype=np.float32)[:, None], (producer,), meta)


def clusters(rng, sizes, meta=META):
    sets = [image(rng, size, meta) for size in sizes]
    empty = image(rng, 0, meta)
    return ClusterVoxels(
        np.concatenate([one.coordinates for one in [empty, *sets]]),
        np.concatenate([one.features[:, 0] for one in [empty, *sets]]),
        np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        len(sizes),
        meta,
    )


def particles(rng, count):
    table = np.zeros(count, dtype=PARTICLE)
    table["id"] = table["mcst_index"] = np.arange(count)
    table["pdg"] = rng.choice([22, -11, 13, 211, 2212, 2112, 0], size=count)
    table["process"] = rng.choice([b"primary", b"muIoni", b""], size=count)
    table["parent_trackid"] = rng.integers(0, 3, size=count)
    for point in ("vtx", "end_pt"):
        for axis in "xyz":
            table[point][axis] = rng.random(count)
    table["px"] = rng.random(count)
    return table


def event(rng, voxels, meta=META):
    """An event whose voxels are shared out among some instances, as in simulated files."""
    energies = image(rng, voxels, meta)
    classes = EventVoxels(
        energies.coordinates, rng.integers(-1, 5, (voxels, 1)).astype(np.float32), ("semantics",), meta
    )
    count = max(1, voxels // 8)
    sets = np.sort(rng.integers(0, count, voxels)).astype(np.int32)
    order = np.lexsort((rng.permutation(voxels), sets))
    coordinates, values = energies.coordinates[order], energies.features[order, 0]
    key = np.lexsort((*coordinates.T[::-1], sets))
    instances = ClusterVoxels(coordinates[key], values[key], sets[key], count, meta)
    return {
        "sparse3d_pcluster": energies,
        "sparse3d_pcluster_semantics": classes,
        "cluster3d_pcluster": instances,
        "particle_pcluster": particles(rng, count),
    }


def write_events(path, counts=(30, 0, 1, 50), seed=0, run=1, meta=META):
    rng = np.random.default_rng(seed)
    events = [event(rng, count, meta) for count in counts]
    with LArCV3Writer(path) as writer:
        for number, products in enumerate(events):
            writer.append((run, 0, number), products)
    return events


def slow_voxels(path, product, index):
    """Rows of an event, decoded one by one: list over sets of {(x, y, z): value}, and the shape."""
    with h5py.File(path) as file:
        group = file[f"Data/{product}_group"]
        extent = group["extents"][index]
        kind = "projection_extents" if "projection_extents" in group else "voxel_extents"
        sets = []
        for row in range(int(extent["first"]), int(extent["first"]) + int(extent["N"])):
            shape = [int(size) for size in group["image_meta"][row]["number_of_voxels"]]
            ranges = [group[kind][row]]
            if kind == "projection_extents":
                first, count = int(ranges[0]["first"]), int(ranges[0]["N"])
                ranges = [group["cluster_extents"][number] for number in range(first, first + count)]
            for one in ranges:
                found = {}
                for voxel in group["voxels"][int(one["first"]) : int(one["first"]) + int(one["N"])]:
                    number = int(voxel["id"])
                    position = (number // (shape[1] * shape[2]), number // shape[2] % shape[1], number % shape[2])
                    found[position] = found.get(position, 0.0) + float(voxel["value"])
                sets.append(found)
        return sets, tuple(shape)


def read_everything(path):
    reader = open_reader(path)
    for product, reason in getattr(reader, "unusable", {}).items():
        raise UserError(f"{path}: {product} {reason}")
    values = []
    for index in range(len(reader)):
        values.append(reader.event_id(index).tolist())
        for product in reader.products():
            kind, _, producer = product.partition("_")
            if kind == "particle":
                values.append(repr(reader.particles(index, producer).tolist()))
            elif kind == "cluster3d":
                sets = reader.cluster3d(index, producer)
                values += [sets.coordinates.tolist(), sets.values.tolist(), sets.sets.tolist(), sets.num_sets]
            else:
                image = reader.sparse3d(index, producer)
                values += [image.coordinates.tolist(), image.features.tolist()]
    reader.close()
    return values
