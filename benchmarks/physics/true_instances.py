"""An output file whose instances and classes are the true ones: what remains are errors of measuring particles."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch

from mlreco import shipped
from mlreco.config import load_config
from mlreco.inference.products import events_of
from mlreco.inference.true_particles import TRUE_PARTICLES, with_true_particles
from mlreco.iotools import HDF5Writer, loader_factory
from mlreco.models.labels import labels_from
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.progress import Progress
from mlreco.semantics import PILARNET


def write_true_instances(source: Path, output: Path, events: int | None) -> int:
    """Write the particles that true instances in true classes give; return the number of events.

    Args:
        source: LArCV3 file with labels.
        output: file to write.
        events: the first so many; all if None.

    Raises:
        UserError: a file cannot be read or written, or it has no labels.
    """
    schema = load_config(shipped.configuration("uresnet_spice"))["iotool"]["dataset"]["schema"]
    dataset = {"data_keys": [str(source)], "schema": schema}
    loader = loader_factory(
        with_true_particles({"batch_size": 1, "dataset": dataset}),
        train=False,
        optional=(TRUE_PARTICLES,),
        class_scheme=PILARNET.name,
    )
    info = {"class_scheme": PILARNET.name, "classes": list(PILARNET.classes)}
    builder = ParticleBuilder()
    with loader, HDF5Writer(output, info) as writer, Progress("particles", total=events) as progress:
        for batch in itertools.islice(loader, events):
            voxels = batch["input_data"]
            labels = labels_from(batch, voxels, ["segment_label", "cluster_label"])
            semantics, instances = _array(labels.semantics, np.int8), _array(labels.instances, np.int32)
            arrays = {
                "coordinates": voxels.coordinates[:, 1:].numpy().astype(np.int32),
                "energies": voxels.features[:, 0].numpy(),
                "semantics": semantics,
                "fragments": instances,
                "semantics_true": semantics,
                "instances_true": instances,
            }
            for event in events_of(batch, voxels, arrays, {}):
                writer.append(event | builder(event, PILARNET))
            progress.advance()
        return writer.num_events


def _array(labels: torch.Tensor | None, dtype: type) -> np.ndarray:
    if labels is None:
        raise ValueError("the file has no labels")
    return labels.numpy().astype(dtype)
