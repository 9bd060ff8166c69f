"""Sparse convolutions on 3D images, with spconv's names and arguments, on the CPU and on CUDA devices.

The door of the room: what other rooms use is here. ``docs/engine.md`` tells how it works inside.

* ``SparseConvTensor``, ``SubMConv3d``, ``SparseConv3d``, ``SparseInverseConv3d``: the image and its convolutions.
* ``NormActivation``, ``ResidualBlock``, ``UNetEncoder``, ``UNetDecoder``: layers that the engines compute as a whole.
* ``unchanging``: the promise under which inference folds weights once.
* ``use_engine`` with ``PLAIN``, ``CPU`` or ``SPCONV``: which engine computes, instead of that of the device.
* ``is_own``, ``all_are_watched``: whether a module may be computed without being called.
* ``Division``: how several threads share the engine's.
* ``dense``, ``add_products``, ``room_for_lists``: linear layers for kernels of other rooms, which ``kernel`` compiles.
* ``remembered``: keeps what is derived from the weights of a layer.
"""

from mlreco.sparse.as_made import all_are_watched, is_own
from mlreco.sparse.convolutions import SparseConv3d, SparseConvolution, SparseInverseConv3d, SubMConv3d
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.ops.dense import Dense, add_products, dense, room_for_lists
from mlreco.sparse.cpu.remembered import remembered, unchanging
from mlreco.sparse.cpu.threads.thread_count import Division
from mlreco.sparse.engine import CPU, PLAIN, SPCONV, Engine, engine_of, use_engine
from mlreco.sparse.layers.norm import VoxelBatchNorm
from mlreco.sparse.layers.norm_activation import NormActivation
from mlreco.sparse.layers.residual import ResidualBlock
from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder, level_channels, padded_shape
from mlreco.sparse.native.jit import kernel
from mlreco.sparse.tensor import SparseConvTensor

__all__ = [
    "CPU",
    "PLAIN",
    "SPCONV",
    "UNIT",
    "Dense",
    "Division",
    "Engine",
    "NormActivation",
    "ResidualBlock",
    "SparseConv3d",
    "SparseConvTensor",
    "SparseConvolution",
    "SparseInverseConv3d",
    "SubMConv3d",
    "UNetDecoder",
    "UNetEncoder",
    "VoxelBatchNorm",
    "add_products",
    "all_are_watched",
    "dense",
    "engine_of",
    "is_own",
    "kernel",
    "level_channels",
    "padded_shape",
    "remembered",
    "room_for_lists",
    "unchanging",
    "use_engine",
]
