"""Checks of labels before a loss uses them."""

from __future__ import annotations

from torch import Tensor

from mlreco.errors import UserError
from mlreco.semantics import ClassScheme


def require_classes(semantics: Tensor, scheme: ClassScheme) -> None:
    """Refuse labels with a semantic class that the scheme does not have.

    Args:
        semantics: (N,) int64; negative numbers stand for an unknown class.
        scheme: the numbering of the classes.

    Raises:
        UserError: a number beyond those of the scheme.
    """
    if semantics.numel() and (highest := int(semantics.max())) >= len(scheme):
        raise UserError(
            f"the labels have semantic class {highest}, class scheme '{scheme.name}' has only 0 to {len(scheme) - 1}"
        )
