"""A chain ready to run: built from a configuration, with weights, on its device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mlreco.errors import UserError
from mlreco.models.chain import Chain
from mlreco.models.weights import load_chain_weights


def device_of(gpus: str) -> torch.device:
    """Return the device of ``trainval.gpus``: empty for the CPU, else the number of one GPU.

    Raises:
        UserError: more than one GPU, or there is no such GPU.
    """
    numbers = [text for text in gpus.replace(" ", "").split(",") if text]
    if not numbers:
        return torch.device("cpu")
    if len(numbers) > 1:
        raise UserError(f"trainval.gpus: '{gpus}': one GPU at a time is supported, for example '{numbers[0]}'")
    if not torch.cuda.is_available() or int(numbers[0]) >= torch.cuda.device_count():
        raise UserError(f"trainval.gpus: '{gpus}': no such CUDA device here; '' runs on the CPU")
    return torch.device("cuda", int(numbers[0]))


def build_chain(
    config: Mapping[str, Any],
    weights: str | Path | None = None,
    to_train: bool = False,
    device: torch.device | None = None,
) -> tuple[Chain, tuple[str, ...]]:
    """Build the chain of a configuration on its device and load the weights that it names.

    Args:
        config: the whole configuration.
        weights: a checkpoint that comes before those that the configuration names.
        to_train: whether the weights are the beginning of a training.
        device: device of the chain; that of ``trainval.gpus`` if None.

    Returns:
        the chain, and the names of the stages that got weights from a file.

    Raises:
        UserError: the model cannot be built, or weights do not fit.
    """
    chain = Chain.from_config(config["model"])
    fallback = config["trainval"].get("model_path")
    loaded = load_chain_weights(chain, weights, fallback, to_train)
    return chain.to(device or device_of(config["trainval"].get("gpus", ""))), loaded
