"""Sparse 3D convolutions with spconv's names, arguments and weight layout, on CPU and CUDA.

Definitions: submanifold sparse convolution, Graham and van der Maaten, arXiv:1706.01307; strided and inverse sparse
convolution as in spconv 2. A weight has spconv's shape (Cout, k, k, k, Cin), so that a checkpoint serves both engines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from mlreco.sparse.arguments import whole
from mlreco.sparse.as_made import CPU_DEVICE, is_own
from mlreco.sparse.engine import engine_of
from mlreco.sparse.maps.kernel_map import KernelMap
from mlreco.sparse.maps.sites import INVERSE, STRIDED, SUBMANIFOLD, sites_to_undo, strided_sites, submanifold_sites
from mlreco.sparse.plain.convolution_function import kernel_major
from mlreco.sparse.tensor import SparseConvTensor, require_image
from mlreco.sparse.untraced import untraced

Size = int | Sequence[int]
"""A number for all three axes, or three equal ones."""
ImageOf = Callable[[torch.Tensor], SparseConvTensor]


def _cubic(name: str, size: Size, least: int) -> int:
    """Return the number that an argument gives for all three axes; kernels here are cubes."""
    if isinstance(size, Sequence) and not isinstance(size, str):
        if len(size) != 3 or len(set(size)) != 1:
            raise ValueError(f"{name} must be one number, or three equal ones, not {size!r}")
        size = size[0]
    return whole(name, size, least)


class SparseConvolution(nn.Module):
    """What the three convolutions share: parameters, their initialisation and the checks.

    Args:
        in_channels: features of an input site, Cin.
        out_channels: features of an output site, Cout.
        kernel_size: edge of the cubic kernel, or three equal edges.
        bias: add a learned (Cout,) offset.
        indice_key: name under which the kernel map is kept in the tensor for other layers.

    Raises:
        ValueError: a number of features or a kernel size for which there is no convolution.
    """

    kind: str
    """``SUBMANIFOLD``, ``STRIDED`` or ``INVERSE``."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, bias: bool = True, indice_key: str | None = None
    ) -> None:
        super().__init__()
        self.in_channels = whole("in_channels", in_channels, 1)
        self.out_channels = whole("out_channels", out_channels, 1)
        self.kernel_size = edge = _cubic("kernel_size", kernel_size, 1)
        self.indice_key = indice_key
        self.weight = nn.Parameter(torch.empty(self.out_channels, edge, edge, edge, self.in_channels))
        self.bias = nn.Parameter(torch.empty(self.out_channels)) if bias else None
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
        """Return the kernel map on the CPU, and a function that makes the output image of (n_out, Cout) features."""
        raise NotImplementedError

    def is_as_made(self, device: torch.device = CPU_DEVICE) -> bool:
        """Tell whether its parameters are float32 and of its shape; see :mod:`mlreco.sparse.as_made`."""
        if not is_own(self, type(self), device) or type(self) not in (
            SubMConv3d,
            SparseConv3d,
            SparseInverseConv3d,
        ):
            return False
        edge, bias = self.kernel_size, self.bias
        weight = self._parameters.get("weight")  # none where another tensor stands in its place
        shape = (self.out_channels, edge, edge, edge, self.in_channels)
        if weight is None or weight.dtype != torch.float32 or weight.shape != shape:
            return False
        return bias is None or (bias.dtype == torch.float32 and bias.shape == shape[:1])

    @untraced
    def forward(self, tensor: SparseConvTensor) -> SparseConvTensor:
        """Return the convolved image.

        Raises:
            TypeError: no image.
            ValueError: the image has another number of features, a parameter has another shape, or the ``indice_key``
                is in use for other sites or another convolution.
        """
        require_image(self, tensor)
        self._check(tensor)
        return engine_of(tensor.features).convolve(self, tensor)

    def _check(self, tensor: SparseConvTensor) -> None:
        """Refuse features and parameters whose shapes do not fit the layer."""
        edge, channels, features = self.kernel_size, self.in_channels, tensor.features.shape[1]
        if features != channels:
            raise ValueError(f"{type(self).__name__} takes {channels} features a site, the image has {features}")
        if self.weight.shape != (self.out_channels, edge, edge, edge, channels):
            raise ValueError(f"the weight of {self} has the shape {tuple(self.weight.shape)}")
        if self.bias is not None and self.bias.shape != (self.out_channels,):
            raise ValueError(f"the bias of {self} has the shape {tuple(self.bias.shape)}")


def _refuse(**options: Size) -> None:
    """Raise an error for values other than 1, which are not implemented."""
    for name, value in options.items():
        if _cubic(name, value, 1) != 1:
            raise ValueError(f"{name}={value} is not supported, only 1")


class _ForwardConvolution(SparseConvolution):
    """The arguments that ``SubMConv3d`` and ``SparseConv3d`` have in common, in spconv's order."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        indice_key: str | None = None,
    ) -> None:
        _refuse(dilation=dilation, groups=groups)
        super().__init__(in_channels, out_channels, kernel_size, bias, indice_key)
        self.stride, self.padding = _cubic("stride", stride, 1), _cubic("padding", padding, 0)
        if self.kind == SUBMANIFOLD:
            _refuse(stride=stride)
            if self.kernel_size % 2 == 0:
                raise ValueError(f"a submanifold convolution needs an odd kernel size, got {kernel_size}")


class SubMConv3d(_ForwardConvolution):
    """Submanifold convolution: the active sites stay as they are, each sums its active neighbours.

    Args:
        in_channels: features of an input site.
        out_channels: features of an output site.
        kernel_size: odd edge of the kernel.
        stride, dilation, groups: must be 1; other strides have no meaning here, the others are not implemented.
        padding: has no effect, as in spconv: the sites are those of the input.
        bias: add a learned offset.
        indice_key: layers with the same key share one kernel map.
    """

    kind = SUBMANIFOLD

    def target(self, tensor: SparseConvTensor) -> tuple[KernelMap, ImageOf]:
        """Return the kernel map, and a function that makes an image of features on the same sites and rows."""
        return submanifold_sites(tensor, self.kernel_size, self.indice_key), tensor.replace_feature


class SparseConv3d(_ForwardConvolution):
    """Strided convolution: every output site that some active input reaches becomes active.

    Args:
        in_channels: features of an input site.
        out_channels: features of an output site.
        kernel_size: edge of the kernel.
        stride: step between output sites.
        padding: zeros added on each side.
        dilation, groups: must be 1; other values are not implemented.
        bias: add a learned offset.
        indice_key: name under which a ``SparseInverseConv3d`` finds the kernel map of this convolution.
    """

    kind = STRIDED

    def target(self, tensor: SparseConvTensor) -> tuple[KernelMap, ImageOf]:
        """Return the kernel map, and a function that makes an image on the output sites, sorted by batch, x, y, z."""
        sites = strided_sites(tensor, self.kernel_size, self.stride, self.padding, self.indice_key)
        return sites.kernel_map, lambda out: sites.image(out, sites.coarse, tensor)


class SparseInverseConv3d(SparseConvolution):
    """Transposed convolution back onto the sites and rows from which a ``SparseConv3d`` started.

    Args:
        in_channels: features of an input site.
        out_channels: features of an output site.
        kernel_size: edge of the kernel, the same as in the convolution that is undone.
        indice_key: key of the convolution that is undone.
        bias: add a learned offset.
    """

    kind = INVERSE

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, indice_key: str, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias, indice_key)

    def target(self, tensor: SparseConvTensor) -> tuple[KernelMap, ImageOf]:
        """Return the kernel map, and a function that makes an image on the sites before the undone convolution."""
        sites = sites_to_undo(tensor, self.kernel_size, self.indice_key)
        return sites.kernel_map.transposed(), lambda out: sites.image(out, sites.fine, tensor)
