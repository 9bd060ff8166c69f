"""Sparse 3D convolutions with spconv's names, arguments and weight layout, on CPU and CUDA.

Definitions: submanifold sparse convolution, Graham and van der Maaten, arXiv:1706.01307; strided and inverse sparse
convolution as in spconv 2. A weight has spconv's shape (Cout, k, k, k, Cin), so that a checkpoint serves both engines.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from mlreco.models.layers.remembered import Remembering
from mlreco.models.layers.sparse import cuda, engine
from mlreco.models.layers.sparse.function import kernel_major, sparse_convolution
from mlreco.models.layers.sparse.kernel_map import KernelMap
from mlreco.models.layers.sparse.sites import StridedSites, strided_sites, submanifold_sites
from mlreco.models.layers.sparse.tensor import SparseConvTensor

ImageOf = Callable[[torch.Tensor], SparseConvTensor]


class SparseConvolution(Remembering):
    """What the three convolutions share: parameters, their initialisation and the product with a kernel map.

    Args:
        in_channels: features of an input site, Cin.
        out_channels: features of an output site, Cout.
        kernel_size: edge of the cubic kernel.
        bias: add a learned (Cout,) offset.
        indice_key: name under which the kernel map is kept in the tensor for other layers.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True, indice_key: str | None = None
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.indice_key = indice_key
        self.weight = nn.Parameter(torch.empty(out_channels, kernel_size, kernel_size, kernel_size, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights as torch's convolutions do: uniform with bound 1 / sqrt(fan in)."""
        bound = 1.0 / math.sqrt(max(1, self.in_channels * self.kernel_size**3))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def kernel_major_weight(self) -> torch.Tensor:
        """Return the weight as (K, Cin, Cout), K offsets in row-major order of (kx, ky, kz)."""
        return kernel_major(self.weight)

    def extra_repr(self) -> str:
        """Describe the layer in printed models."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, indice_key={self.indice_key!r}"
        )

    def target(self, tensor: SparseConvTensor) -> tuple[KernelMap, ImageOf]:
        """Return the kernel map on the CPU, and what makes an image of the (n_out, Cout) output."""
        raise NotImplementedError

    def _on_cuda(self, tensor: SparseConvTensor) -> SparseConvTensor:
        raise NotImplementedError

    def forward(self, tensor: SparseConvTensor) -> SparseConvTensor:
        """Return the convolved image."""
        if engine.uses_spconv(tensor.features):
            return self._on_cuda(tensor)
        kernel_map, image_of = self.target(tensor)
        out = sparse_convolution(tensor.features, self.kernel_major_weight(), kernel_map)
        return image_of(out if self.bias is None else out + self.bias)


def _refuse(**options: tuple[int, int]) -> None:
    for name, (value, supported) in options.items():
        if value != supported:
            raise ValueError(f"{name}={value} is not supported, only {supported}")


class SubMConv3d(SparseConvolution):
    """Submanifold convolution: the active sites stay as they are, each sums its active neighbours.

    Args:
        in_channels: features of an input site.
        out_channels: features of an output site.
        kernel_size: odd edge of the kernel.
        stride, dilation, groups: 1, the only value there is a meaning or code for.
        padding: has no effect, as in spconv: the sites are those of the input.
        bias: add a learned offset.
        indice_key: layers with the same key share one kernel map.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        indice_key: str | None = None,
    ) -> None:
        _refuse(stride=(stride, 1), dilation=(dilation, 1), groups=(groups, 1))
        if kernel_size % 2 == 0:
            raise ValueError(f"a submanifold convolution needs an odd kernel size, got {kernel_size}")
        super().__init__(in_channels, out_channels, kernel_size, bias, indice_key)

    def target(self, tensor: SparseConvTensor) -> tuple[KernelMap, ImageOf]:
        """Return the kernel map, and what puts features on the same sites and rows."""
        return submanifold_sites(tensor, self.kernel_size, self.indice_key), tensor.replace_feature

    def _on_cuda(self, tensor: SparseConvTensor) -> SparseConvTensor:
        return cuda.submanifold(self, tensor)


class SparseConv3d(SparseConvolution):
    """Strided convolution: every output site that some active input reaches becomes active.

    Args:
        in_channels: features of an input site.
        out_channels: features of an output site.
        kernel_size: edge of the kernel.
        stride: step between output sites.
        padding: zeros added on each side.
        dilation, groups: 1, the only value there is code for.
        bias: add a learned offset.
        indice_key: name under which a ``SparseInverseConv3d`` finds its way back.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        indice_key: str | None = None,
    ) -> None:
        _refuse(dilation=(dilation, 1), groups=(groups, 1))
        super().__init__(in_channels, out_channels, kernel_size, bias, indice_key)
        self.stride = stride
        self.padding = padding

    def target(self, tensor: SparseConvTensor) -> tuple[KernelMap, ImageOf]:
        """Return the kernel map, and what puts features on the output's own sites, sorted by batch, x, y, z."""
        sites = strided_sites(tensor, self.kernel_size, self.stride, self.padding, self.indice_key)
        rest = sites.coarse, sites.coarse_shape, tensor.batch_size, tensor.indice_dict
        return sites.kernel_map, lambda out: SparseConvTensor(out, *rest)

    def _on_cuda(self, tensor: SparseConvTensor) -> SparseConvTensor:
        return cuda.strided(self, tensor)


class SparseInverseConv3d(SparseConvolution):
    """Transposed convolution back onto the sites and rows from which a ``SparseConv3d`` started.

    Args:
        in_channels: features of an input site.
        out_channels: features of an output site.
        kernel_size: edge of the kernel, that of the convolution it undoes.
        indice_key: key of the convolution it undoes.
        bias: add a learned offset.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, indice_key: str, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias, indice_key)

    def target(self, tensor: SparseConvTensor) -> tuple[KernelMap, ImageOf]:
        """Return the kernel map, and what puts features on the sites that the undone convolution started from."""
        sites = tensor.indice_dict.get(("strided", self.indice_key))
        if not isinstance(sites, StridedSites) or sites.geometry[0] != self.kernel_size:
            raise ValueError(f"no convolution of kernel size {self.kernel_size} with indice_key '{self.indice_key}'")
        rest = sites.fine, sites.fine_shape, tensor.batch_size, tensor.indice_dict
        return sites.kernel_map.transposed(), lambda out: SparseConvTensor(out, *rest)

    def _on_cuda(self, tensor: SparseConvTensor) -> SparseConvTensor:
        return cuda.inverse(self, tensor)
