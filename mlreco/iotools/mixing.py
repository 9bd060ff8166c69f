"""Batches of events of several sources, in shares that may change while a training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlreco.course import Course
from mlreco.errors import UserError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio, odd: its multiples modulo 2**64 fill the range more evenly than random numbers."""
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Source:
    """Events that are drawn together.

    Attributes:
        name: in messages.
        entries: (n,) int64, their places in the dataset; for one without an end only the first.
        weight: share of a batch, relative to the other sources; by iteration.
        sizes: (n,) number of voxels of each, where events are chosen by it.
        endless: whether the events go on from the first without end; they are then drawn in order, once.
    """

    name: str
    entries: np.ndarray
    weight: Course
    sizes: np.ndarray | None = None
    endless: bool = False


@dataclass
class _Place:
    """Position in a source whose large events are left out.

    Attributes:
        epoch: number of the pass.
        cursor: events of the pass so far, those left out included.
    """

    epoch: int = 0
    cursor: int = 0


class MixedSampler:
    """Draws the events of every batch from sources by their weights; each source in shuffled passes, one after another.

    A pure function of its arguments and the batch number. The place p of an event in the training draws the source in
    whose part of [0, 1) the fractional part of p / golden ratio lies, so that after any number of events the shares
    are exact but for a few events (Kronecker sequence; Niederreiter, CBMS-NSF 63, 1992, ch. 3). Of a source every event
    comes once in a pass; those with more voxels than the limit of the moment are passed over.

    Args:
        sources: at least one.
        batch_size: events of a batch.
        seed: of the place.
        max_voxels: limit of the size of events by iteration; none if None.

    Raises:
        UserError: at some iteration all weights are 0, or a source has no event within the limit.
    """

    def __init__(
        self, sources: Sequence[Source], batch_size: int, seed: int = 0, max_voxels: Course | None = None
    ) -> None:
        self.sources, self.batch_size, self.seed, self.max_voxels = list(sources), batch_size, seed, max_voxels
        knots = np.unique(np.concatenate([source.weight.iterations for source in self.sources]))
        totals = np.sum([source.weight.at(knots) for source in self.sources], axis=0)
        if not (totals > 0).all():
            when = int(knots[np.argmin(totals)])
            raise UserError(f"iotool.dataset.sources: after {when} iterations no source has a weight above 0")
        for source in self.sources:
            if max_voxels is not None and source.sizes is not None and source.sizes.min() > max_voxels.least:
                raise UserError(
                    f"iotool.dataset.max_voxels: is {max_voxels.least:g} at its smallest, and the smallest event of "
                    f"{source.name} has {source.sizes.min()} voxels"
                )
        self._offset = np.random.default_rng([seed, 0]).integers(2**64, dtype=np.uint64)
        self._done, self._drawn = 0, np.zeros(len(self.sources), np.int64)
        self._places = [_Place() for _ in self.sources]
        self._permutations: dict[int, tuple[int, np.ndarray]] = {}

    def batch(self, number: int) -> np.ndarray:
        """Return the entries of batch ``number``, (batch_size,) int64."""
        self._go_to(number)
        chosen = self._choices(number, number + 1)
        entries = np.empty(self.batch_size, np.int64)
        for index in range(len(self.sources)):
            places = chosen == index
            entries[places] = self._draw(index, int(places.sum()), number)
        self._done, self._drawn = number + 1, self._drawn + np.bincount(chosen, minlength=len(self.sources))
        return entries

    def _choices(self, first: int, end: int) -> np.ndarray:
        """Return the source of each event of the batches from ``first`` to before ``end``."""
        positions = np.arange(first * self.batch_size, end * self.batch_size, dtype=np.uint64)
        fractions = (positions * _GOLDEN + self._offset).astype(np.float64) / 2.0**64
        iterations = np.arange(first, end)
        weights = np.stack([source.weight.at(iterations) for source in self.sources])
        bounds = np.repeat(np.cumsum(weights, axis=0)[:-1] / weights.sum(axis=0), self.batch_size, axis=1)
        return (fractions >= bounds).sum(axis=0)

    def _go_to(self, number: int) -> None:
        """Move to the beginning of a batch, from the batch before it or from the first one."""
        if number < self._done:
            self._done, self._drawn = 0, np.zeros_like(self._drawn)
            self._places = [_Place() for _ in self.sources]
        if self.max_voxels is not None:
            while self._done < number:
                self.batch(self._done)
        step = max(1, _AT_ONCE // self.batch_size)
        while self._done < number:
            end = min(number, self._done + step)
            self._drawn += np.bincount(self._choices(self._done, end), minlength=len(self.sources))
            self._done = end

    def _draw(self, index: int, count: int, number: int) -> np.ndarray:
        """Return the next entries of a source."""
        source = self.sources[index]
        if source.endless:
            return source.entries[0] + self._drawn[index] + np.arange(count)
        if self.max_voxels is not None and source.sizes is not None:
            return self._draw_small(index, count, source.sizes, float(self.max_voxels.at(number)))
        positions = self._drawn[index] + np.arange(count)
        epochs, places = np.divmod(positions, len(source.entries))
        drawn = np.empty(count, np.int64)
        for epoch in np.unique(epochs).tolist():
            drawn[epochs == epoch] = self._permutation(index, epoch)[places[epochs == epoch]]
        return source.entries[drawn]

    def _draw_small(self, index: int, count: int, sizes: np.ndarray, limit: float) -> np.ndarray:
        """Return the next entries of a source that are within the limit."""
        source, place = self.sources[index], self._places[index]
        drawn: list[np.ndarray] = []
        while count:
            permutation = self._permutation(index, place.epoch)
            ahead = permutation[place.cursor : place.cursor + 4 * count + 64]
            small = np.flatnonzero(sizes[ahead] <= limit)[:count]
            drawn.append(source.entries[ahead[small]])
            count -= len(small)
            place.cursor += len(ahead) if count else int(small[-1]) + 1
            if place.cursor >= len(permutation):
                place.epoch, place.cursor = place.epoch + 1, 0
        return np.concatenate(drawn) if drawn else np.zeros(0, np.int64)

    def _permutation(self, index: int, epoch: int) -> np.ndarray:
        """Return the order of a source in a pass; the last one is kept."""
        known = self._permutations.get(index)
        if known is None or known[0] != epoch:
            rng = np.random.default_rng([self.seed, 1 + index, epoch])
            known = self._permutations[index] = epoch, rng.permutation(len(self.sources[index].entries))
        return known[1]
