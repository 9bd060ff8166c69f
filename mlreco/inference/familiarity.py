"""A warning for events that do not look like those that the weights of a chain were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlreco import shipped
from mlreco.checkpoints import DataFingerprint, read_metadata
from mlreco.checkpoints.familiarity import EventsSeen, differences
from mlreco.errors import UserError
from mlreco.models.blocks import read_blocks


def training_data(config: Mapping[str, Any], weights: str | Path | None = None) -> DataFingerprint | None:
    """Return the fingerprint of the events that a chain was trained on; None where its checkpoints have none.

    Stages that are trained on fragments instead of events have none.

    Args:
        config: a checked configuration.
        weights: checkpoint that comes before those that the configuration names.
    """
    blocks = read_blocks(config["model"]["modules"])
    paths = [weights, *(block.model_path for block in blocks), config["trainval"].get("model_path")]
    for path in dict.fromkeys(str(path) for path in paths if path):
        data = read_metadata(path).data
        if data is not None and data.voxels_per_event is not None:
            return data
    return None


class Familiarity:
    """Collects properties of events and compares them with those of the events that a chain was trained on.

    Args:
        trained: the events that it was trained on; None where they are not known, and then there are no warnings.
    """

    def __init__(self, trained: DataFingerprint | None) -> None:
        self._trained = trained
        self._seen = EventsSeen()

    def add(self, event: Mapping[str, np.ndarray]) -> None:
        """Add an event by its products."""
        if self._trained is not None:
            self._seen.add(event["energies"], event["voxel_size"][0])

    def warning(self) -> str | None:
        """Return one line if the events differ from those of the training, with the chain that would fit them."""
        if self._trained is None:
            return None
        found = differences(self._seen, self._trained)
        if not found:
            return None
        fitting = [name for name, data in _shipped_chains().items() if not differences(self._seen, data)]
        names = " or ".join(f"'{name}'" for name in fitting)
        advice = f"the shipped chain {names} was trained on such events" if fitting else "no shipped chain fits them"
        return f"these events are unlike those that the weights were trained on: {'; '.join(found)}; {advice}"


def _shipped_chains() -> dict[str, DataFingerprint]:
    """Return the shipped chains that have weights, by name, with the events that they were trained on."""
    from mlreco.config import load_config

    found = {}
    for name, path in shipped.configurations().items():
        if name == shipped.DEMO:
            continue
        try:
            data = training_data(load_config(path))
        except UserError:  # its weights have to be trained first
            continue
        if data is not None:
            found[name] = data
    return found
