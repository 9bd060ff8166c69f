"""Types that the sections share: strict about the types of values, tolerant about the notation of numbers."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A section that accepts no unknown key and no value of another type.

    Attributes:
        omit_absent: whether keys whose value is None are left out of the checked configuration.
    """

    omit_absent: ClassVar[bool] = False

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=(), populate_by_name=True)


class Named(Section):
    """A name with arguments, such as an optimiser or a schedule."""

    name: str
    args: dict[str, Any] = {}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def named(value: Any) -> Any:
    """Return the long form of a name without arguments."""
    return {"name": value} if isinstance(value, str) else value


Integer = Annotated[int, BeforeValidator(_whole)]
"""An integer; ``1e5`` counts as one."""
Count = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
Names = Annotated[list[str], BeforeValidator(_listed)]
"""A list of texts; one text counts as a list of one."""
Call = Annotated[Named, BeforeValidator(named)]
"""A name, or a name with arguments."""
