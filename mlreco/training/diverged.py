"""The batch with which a training diverged, as a file for the event display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlreco.inference.products import events_of, voxel_products
from mlreco.iotools import HDF5Writer
from mlreco.models.chain import Chain


def write_batch(
    path: Path, parts: Sequence[Mapping[str, Any]], chain: Chain, config_text: str, files: Sequence[Path]
) -> None:
    """Write the events of a batch as the network got them, in the form of an output file without products of networks.

    Args:
        path: file to write.
        parts: minibatches, on the CPU.
        chain: names the input and the labels.
        config_text: the configuration as YAML.
        files: the input files.

    Raises:
        UserError: the file cannot be written.
    """
    info = {
        "cfg": config_text,
        "class_scheme": chain.scheme.name,
        "classes": list(chain.scheme.classes),
        "post_processors": [],
        "source_files": list(files),
    }
    with HDF5Writer(path, info) as writer:
        for part in parts:
            voxels = chain.voxels(part)
            arrays = voxel_products(voxels, {"labels": chain.labels(part)})
            for event in events_of(part, voxels, arrays, {}):
                writer.append(event)
