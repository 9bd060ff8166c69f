"""Small files of events and an untrained, tiny chain for productions."""

from pathlib import Path

import numpy as np

from mlreco.config import load_config
from mlreco.iotools import ClusterVoxels, LArCV3Writer
from mlreco.iotools.larcv3 import PARTICLE
from mlreco.voxels import EventVoxels, ImageMeta

ROOT = Path(__file__).parents[2]
META = ImageMeta((48, 32, 40), (-1.0, 2.0, 3.0), (0.3, 0.3, 0.3))
TINY = [
    "model.modules.uresnet={filters: 4, depth: 2, reps: 1}",
    "model.modules.spice={filters: 4, depth: 2, reps: 1, semantics: predicted}",
    "iotool.num_workers=0",
    "iotool.batch_size=4",
]
"""Changes of ``config/chain.cfg``."""


def write_events(path, count, run=0, voxels=30):
    """Write a LArCV3 file of ``count`` labelled events whose ids are run, 0, number; the third has no voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with LArCV3Writer(path) as writer:
        for number in range(count):
            rng = np.random.default_rng([run, number])
            size = 0 if number == 2 else voxels
            places = np.unique(rng.integers(0, META.shape, (size, 3)), axis=0).astype(np.int32).reshape(-1, 3)
            energies = rng.exponential(size=len(places)).astype(np.float32)
            classes = np.sort(rng.integers(0, 2, len(places))).astype(np.int32)
            images = [
                EventVoxels(places, np.float32(v).reshape(-1, 1), ("pcluster",), META) for v in (energies, classes)
            ]
            event = {
                "sparse3d_pcluster": images[0],
                "sparse3d_pcluster_semantics": images[1],
                "cluster3d_pcluster": ClusterVoxels(places, energies, classes, 2, META),
                "particle_pcluster": np.zeros(2, PARTICLE),
            }
            writer.append((run, 0, number), event)
    return path


def tiny_config(sources, *overrides):
    return load_config(ROOT / "config/chain.cfg", [*TINY, *overrides], sources=sources)
