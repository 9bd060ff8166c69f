"""Types for torch containers whose members are all of one class; torch's own types do not say which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from torch import nn

if TYPE_CHECKING:
    from mlreco.sparse.layers.residual import ResidualBlock
    from mlreco.sparse.tensor import SparseConvTensor

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


class Members(Protocol[M_co]):
    """A container of modules of one class, in their order."""

    def __getitem__(self, place: int) -> M_co:
        """Return one."""

    def __iter__(self) -> Iterator[M_co]:
        """Go through all."""

    def __len__(self) -> int:
        """Return how many there are."""


class Level(Members["ResidualBlock"], Protocol):
    """The residual blocks of one level, one after the other."""

    def __call__(self, image: SparseConvTensor) -> SparseConvTensor:
        """Return the output of the last."""


def members(modules: Iterable[M]) -> Members[M]:
    """Return a ``ModuleList`` of these modules."""
    return cast("Members[M]", nn.ModuleList(cast("Iterable[nn.Module]", modules)))


def in_sequence(blocks: Iterable[ResidualBlock]) -> Level:
    """Return a ``Sequential`` of these blocks."""
    return cast("Level", nn.Sequential(*blocks))
