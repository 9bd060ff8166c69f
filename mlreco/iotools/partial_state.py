"""State of an unfinished file: what it is made from, and its last consistent size."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlreco.atomic import synchronise
from mlreco.errors import UserError


@dataclass(frozen=True)
class PartialState:
    """A consistent state of an unfinished file.

    Attributes:
        number: counts the states; the undo log that began with this one has its number in its name.
        size: bytes of the file.
        signature: what the file is made from and how, as JSON values.
    """

    number: int
    size: int
    signature: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> PartialState | None:
        """Return the state in a file, None where there is none that can be read."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except (OSError, ValidationError):
            return None

    def write(self, path: Path) -> None:
        """Replace the state in a file, durably and at once.

        Raises:
            OSError: the disk is full, for example.
        """
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)), encoding="utf-8")
        synchronise(new)
        os.replace(new, path)
        synchronise(path.parent)

    def check_signature(self, signature: dict[str, Any], where: Path) -> None:
        """Compare with what is to be made now.

        Args:
            signature: as in the attribute.
            where: the file in the making, for the message.

        Raises:
            UserError: the unfinished file is made from something else.
        """
        for name, value in signature.items():
            before = self.signature.get(name)
            if before != value:
                raise UserError(
                    f"{where}: is the beginning of another conversion: {_difference(name, before, value)}; repeat that "
                    f"command to finish it, or give --restart to begin anew"
                )


def _difference(name: str, before: Any, now: Any) -> str:
    if not (isinstance(before, list) and isinstance(now, list)):
        return f"{name} was {before} and is {now} now"
    if len(before) != len(now):
        return f"{name}: there were {len(before)} and there are {len(now)} now"
    one, other = next((a, b) for a, b in zip(before, now, strict=True) if a != b)
    if isinstance(one, list) and isinstance(other, list) and one[0] == other[0]:
        return f"{one[0]} was changed since"
    return f"{name}: {_text(one)} then, {_text(other)} now"


def _text(item: Any) -> str:
    return str(item[0]) if isinstance(item, list) else str(item)
