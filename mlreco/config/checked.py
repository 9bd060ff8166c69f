"""The configuration of a run, once it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlreco.frozen import FrozenDict, thaw


class Config(FrozenDict):
    """A checked configuration: sections as keys and as attributes (``config.trainval.seed``), immutable.

    Attributes:
        path: the file it was read from.
        text: the whole configuration as YAML, includes and overrides applied, as it is stored in outputs and
            checkpoints; its files have full paths. `mlreco.config.parse_config` reads it back.
        notices: one line for each key that is accepted for compatibility but has no effect.
    """

    __slots__ = ("notices", "path", "text")

    def __init__(self, values: Mapping[str, Any], path: Path, text: str, notices: tuple[str, ...] = ()) -> None:
        super().__init__(values)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "notices", notices)

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[Any, ...]]:
        return Config, (thaw(self), self.path, self.text, self.notices)
