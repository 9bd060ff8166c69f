"""Checkpoint files, which are read as a whole or refused, and their metadata.

from mlreco.checkpoints import read_checkpoint, read_metadata
metadata = read_metadata("weights/mine-20000.ckpt")
print(metadata.class_scheme, metadata.data.voxel_size, metadata.history[-1].seconds)

`mlreco.recipes.read_recipe` returns the configuration that a checkpoint carries.
"""

from mlreco.checkpoints.file import read_checkpoint, write_checkpoint
from mlreco.checkpoints.metadata import DataFingerprint, Metadata, Quantiles, Run, metadata_of, read_metadata

__all__ = [
    "DataFingerprint",
    "Metadata",
    "Quantiles",
    "Run",
    "metadata_of",
    "read_checkpoint",
    "read_metadata",
    "write_checkpoint",
]
