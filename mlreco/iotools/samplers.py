"""Which events make up batch number k.

Every sampler is a pure function of its seed and the batch number: a resumed training needs to remember only how many
batches it consumed, whatever its workers had prefetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.registry import Registry

SAMPLERS = Registry(
    "sampler",
    {
        "SequentialSampler": "mlreco.iotools.samplers:SequentialSampler",
        "SequentialBatchSampler": "mlreco.iotools.samplers:SequentialSampler",
        "RandomSequenceSampler": "mlreco.iotools.samplers:RandomSequenceSampler",
        "RandomSampler": "mlreco.iotools.samplers:RandomSampler",
    },
)


class Sampler(Protocol):
    """Batches by number."""

    def batch(self, number: int) -> np.ndarray:
        """Return the entries of batch ``number``, (batch_size,) int64."""


class SequentialSampler:
    """Entries in order, starting again after the last; a batch may straddle the end.

    Args:
        num_entries: number of events.
        batch_size: events of a batch.
        seed: not used.
    """

    def __init__(self, num_entries: int, batch_size: int, seed: int = 0) -> None:
        self.num_entries, self.batch_size, self.seed = num_entries, batch_size, seed

    def batch(self, number: int) -> np.ndarray:
        """Return the entries of batch ``number``, (batch_size,) int64."""
        return (number * self.batch_size + np.arange(self.batch_size)) % self.num_entries


class RandomSequenceSampler:
    """A contiguous block of entries with a random start: fast to read, as in lartpc_mlreco3d.

    Args:
        num_entries: number of events.
        batch_size: events of a batch; with fewer events the block goes round.
        seed: seed of the starts.
    """

    def __init__(self, num_entries: int, batch_size: int, seed: int = 0) -> None:
        self.num_entries, self.batch_size, self.seed = num_entries, batch_size, seed

    def batch(self, number: int) -> np.ndarray:
        """Return the entries of batch ``number``, (batch_size,) int64."""
        starts = max(self.num_entries - self.batch_size + 1, 1)
        start = np.random.default_rng([self.seed, number]).integers(starts)
        return (start + np.arange(self.batch_size)) % self.num_entries


class RandomSampler:
    """Shuffled epochs, one after another: every entry once in an epoch; a batch may have events of two epochs.

    Args:
        num_entries: number of events.
        batch_size: events of a batch.
        seed: seed of the permutations.
    """

    def __init__(self, num_entries: int, batch_size: int, seed: int = 0) -> None:
        self.num_entries, self.batch_size, self.seed = num_entries, batch_size, seed
        self._permutations: dict[int, np.ndarray] = {}

    def batch(self, number: int) -> np.ndarray:
        """Return the entries of batch ``number``, (batch_size,) int64."""
        positions = number * self.batch_size + np.arange(self.batch_size)
        epochs, positions = np.divmod(positions, self.num_entries)
        self._permutations = {epoch: self._permutation(epoch) for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)}
        pairs = zip(epochs.tolist(), positions.tolist(), strict=True)
        return np.array([self._permutations[epoch][position] for epoch, position in pairs], dtype=np.int64)

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch in self._permutations:
            return self._permutations[epoch]
        return np.random.default_rng([self.seed, epoch]).permutation(self.num_entries)


def make_sampler(config: Mapping[str, Any], num_entries: int, batch_size: int, seed: int) -> Sampler:
    """Make the sampler of a configuration.

    Args:
        config: ``name`` of a sampler and optionally its own ``seed``.
        num_entries: number of events, at least 1.
        batch_size: events of a batch.
        seed: seed where the configuration gives none.

    Raises:
        UserError: no such sampler or an unknown key.
    """
    keys = ("name", "seed", "batch_size")
    for key in config:
        if key not in keys:
            raise UserError(f"iotool.sampler: unknown key '{key}'{nearest(key, keys)}")
    if "name" not in config:
        raise UserError(f"iotool.sampler: 'name' is missing; one of {', '.join(SAMPLERS.names())}")
    if config.get("batch_size", batch_size) != batch_size:
        raise UserError(f"iotool.sampler.batch_size is {config['batch_size']} but iotool.batch_size is {batch_size}")
    own = config.get("seed")
    chosen = seed if own is None or own < 0 else own
    return SAMPLERS.get(config["name"])(num_entries, batch_size, chosen)
