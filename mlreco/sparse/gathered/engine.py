"""The engine that infers by tables of rows; what it cannot compute so it leaves to the engine that it is based on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlreco.sparse.as_made import all_are_watched, tangents_flow
from mlreco.sparse.gathered import inference
from mlreco.sparse.gathered.convolution import convolve_by_table
from mlreco.sparse.gathered.known import decodes_by_tables, encodes_by_tables, has_tables
from mlreco.sparse.plain.engine import PlainEngine
from mlreco.sparse.weight_cache import remembered

if TYPE_CHECKING:
    from mlreco.sparse.convolutions import SparseConvolution
    from mlreco.sparse.layers.unet import UNetDecoder, UNetEncoder
    from mlreco.sparse.tensor import SparseConvTensor

_HALF = (torch.float16, torch.bfloat16)


class GatherEngine(PlainEngine):
    """Computes whole encoders and decoders in evaluation mode by tables, on any device."""

    def convolve(self, layer: SparseConvolution, image: SparseConvTensor) -> SparseConvTensor:
        """Return the sparse convolution of an image, bias included."""
        return convolve_by_table(layer, image) if has_tables(layer, image) else super().convolve(layer, image)

    def encode(self, encoder: UNetEncoder, image: SparseConvTensor) -> list[SparseConvTensor]:
        """Return the image at every level."""
        if self.infers_as_a_whole(encoder, image.features) and encodes_by_tables(encoder, image):
            return inference.encode(encoder, image)
        return super().encode(encoder, image)

    def decode(self, decoder: UNetDecoder, levels: list[SparseConvTensor]) -> SparseConvTensor:
        """Return features of the finest level."""
        if self.infers_as_a_whole(decoder, levels[-1].features) and decodes_by_tables(decoder, levels):
            return inference.decode(decoder, levels)
        return super().decode(decoder, levels)

    def infers_as_a_whole(self, network: UNetEncoder | UNetDecoder, features: torch.Tensor) -> bool:
        """Tell whether neither gradients nor hooks want the layers of a network to be called one by one."""
        device = features.device
        if network.training or torch.is_grad_enabled() or all_are_watched() or tangents_flow():
            return False
        if features.dtype != torch.float32 and not (features.dtype in _HALF and torch.is_autocast_enabled(device.type)):
            return False
        return remembered(network, ("is as made", device), tuple, lambda: network.is_as_made(device))
