"""Make a LArCV2 file with ROOT itself from a LArCV3 file: ``python write_larcv2.py IN.h5 OUT.root [--old]``.

Needs PyPI's ``root`` (an alpha wheel of 248 MB) and this package. Every voxel of a set is written as two steps with
half the value each, last voxel first. Group, interaction, parent and children of particle i are 7 i, 5 i + 1, i // 2
and (i, i + 1).
"""

import argparse
from pathlib import Path

import numpy as np
import ROOT

from mlreco.iotools import LArCV3Reader

HERE = Path(__file__).parent
POINTS = ("vtx", "end_pt", "first_step", "last_step", "parent_vtx", "ancestor_vtx")
SCALARS = (
    *("mcst_index", "mct_index", "current_type", "interaction_type", "trackid", "pdg", "px", "py", "pz"),
    *("dist_travel", "energy_init", "energy_deposit"),
    *("parent_trackid", "parent_pdg", "ancestor_trackid", "ancestor_pdg"),
)
CLASSES = {"sparse3d": "EventSparseTensor3D", "cluster3d": "EventClusterVoxel3D", "particle": "EventParticle"}


def column_major(coordinates, shape):
    x, y, z = coordinates.astype(np.uint64).T
    return x + shape[0] * (y + shape[1] * z)


def vector(kind, values):
    return ROOT.std.vector[kind](np.asarray(values).tolist())


def fill_meta(event, meta):
    low, size = vector("double", meta.origin), vector("double", meta.voxel_size)
    ROOT.fill.meta(event._meta, low, size, vector("long", meta.shape))


def fill_sparse(event, image):
    fill_meta(event, image.meta)
    ids = column_major(image.coordinates, image.meta.shape)
    order = np.argsort(ids)
    ROOT.fill.voxels(event, vector("unsigned long long", ids[order]), vector("float", image.features[order, 0]))


def fill_clusters(event, clusters):
    fill_meta(event, clusters.meta)
    event._voxel_vv.resize(clusters.num_sets)
    ids = column_major(clusters.coordinates, clusters.meta.shape)
    for number in range(clusters.num_sets):
        mine = np.flatnonzero(clusters.sets == number)[::-1].repeat(2)
        voxels = vector("unsigned long long", ids[mine]), vector("float", clusters.values[mine] / 2)
        ROOT.fill.voxels(event._voxel_vv[number], *voxels)
        event._voxel_vv[number]._id = number


def fill_particles(event, particles, old):
    event._part_v.resize(len(particles))
    for number, row in enumerate(particles):
        particle = event._part_v[number]
        particle._id = int(row["id"])
        particle._shape = int(row["shape"])
        for name in SCALARS:
            setattr(particle, f"_{name}", row[name].item())
        particle._process = row["process"].decode()
        for name in POINTS:
            ROOT.fill.vertex(getattr(particle, f"_{name}"), vector("double", row[name].tolist()))
        if not old:
            particle._num_voxels = number + 3
            particle._group_id, particle._interaction_id, particle._parent_id = 7 * number, 5 * number + 1, number // 2
            particle._children_id = vector("unsigned long", [number, number + 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--old", action="store_true", help="the members of 2018")
    arguments = parser.parse_args()
    if arguments.old:
        ROOT.gInterpreter.Declare("#define LARCV2_OLD")
    for header in ("larcv2_classes.h", "fill.h"):
        ROOT.gInterpreter.Declare(f'#include "{HERE / header}"')
    reader = LArCV3Reader(arguments.source)
    file = ROOT.TFile(str(arguments.target), "recreate")
    trees, objects = {}, {}
    for product in reader.products():
        kind = product.partition("_")[0]
        objects[product] = getattr(ROOT.larcv, CLASSES[kind])()
        trees[product] = ROOT.TTree(f"{product}_tree", f"{product} tree")
        ROOT.fill.branch(trees[product], f"{product}_branch", objects[product])
    for index in range(len(reader)):
        for product, event in objects.items():
            kind, _, producer = product.partition("_")
            ROOT.fill.identity(event, producer, *reader.event_id(index).tolist())
            if kind == "sparse3d":
                fill_sparse(event, reader.sparse3d(index, producer))
            elif kind == "cluster3d":
                fill_clusters(event, reader.cluster3d(index, producer))
            else:
                fill_particles(event, reader.particles(index, producer), arguments.old)
            trees[product].Fill()
    file.Write()
    file.Close()


if __name__ == "__main__":
    main()
