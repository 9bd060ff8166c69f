"""Sparse convolutions on 3D images, with spconv's names and arguments, on the CPU and on CUDA devices.

Other packages import the engine from here only. ``docs/engine.md`` explains how it works.

* ``SparseConvTensor``, ``SubMConv3d``, ``SparseConv3d``, ``SparseInverseConv3d``: the image and its convolutions.
* ``NormActivation``, ``ResidualBlock``, ``UNetEncoder``, ``UNetDecoder``: layers that the engines compute as a whole.
* ``unchanging``: the promise that a model does not change, under which inference prepares its weights only once.
* ``use_engine`` with ``PLAIN``, ``CPU`` or ``CUDA``: chooses the engine, which otherwise follows from the device.
* ``inference_on``: a sentence for users, what infers on a CUDA device.
* ``is_own``, ``all_are_watched``: whether the output of a module may be computed without calling the module.
* ``Division``: divides the engine's threads among Python threads that compute at the same time.
* ``dense``, ``add_products``, ``room_for_lists``: linear layers for kernels of other packages, compiled by ``kernel``.
* ``remembered``: a cache of what is computed from the weights of a layer.
"""

from mlreco.sparse.as_made import all_are_watched, is_own
from mlreco.sparse.convolutions import SparseConv3d, SparseConvolution, SparseInverseConv3d, SubMConv3d
from mlreco.sparse.cpu.codegen.simd import UNIT
from mlreco.sparse.cpu.ops.dense import Dense, add_products, dense, room_for_lists
from mlreco.sparse.cpu.threads.thread_count import Division
from mlreco.sparse.cuda.engine import inference_on
from mlreco.sparse.engine import CPU, CUDA, PLAIN, Engine, engine_of, use_engine
from mlreco.sparse.layers.norm import VoxelBatchNorm
from mlreco.sparse.layers.norm_activation import NormActivation
from mlreco.sparse.layers.residual import ResidualBlock
from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder, level_channels, padded_shape
from mlreco.sparse.native.jit import kernel
from mlreco.sparse.tensor import SparseConvTensor
from mlreco.sparse.weight_cache import remembered, unchanging

__all__ = [
    "CPU",
    "CUDA",
    "PLAIN",
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
    "inference_on",
    "is_own",
    "kernel",
    "level_channels",
    "padded_shape",
    "remembered",
    "room_for_lists",
    "unchanging",
    "use_engine",
]
