"""Tables of an event, as arrays by name and as data frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlreco.errors import UserError, nearest

if TYPE_CHECKING:
    import pandas


class Particles:
    """The instances of one event in numbers: one row each, lengths in cm, energies in MeV.

    ``particles["energy"]`` is a column.

    Args:
        table: (K,) structured array, columns of `mlreco.particles.columns.particle_type`.
        classes: names of the semantic classes, by number.
    """

    def __init__(self, table: np.ndarray, classes: tuple[str, ...]) -> None:
        self.table = table
        self._classes = classes

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"<{len(self)} particles>"

    def __getitem__(self, name: str) -> np.ndarray:
        columns = self.columns()
        if name not in columns:
            raise KeyError(f"particles have no '{name}'{nearest(str(name), columns)}")
        return columns[name]

    def columns(self) -> dict[str, np.ndarray]:
        """Return name -> (K,) array; ``class`` is the name of the number ``semantic``."""
        names = np.array([*self._classes, "unknown"])
        semantic = self.table["semantic"]
        known = (semantic >= 0) & (semantic < len(self._classes))
        found: dict[str, np.ndarray] = {"particle": self.table["particle"], "semantic": semantic}
        found["class"] = names[np.where(known, semantic, len(self._classes))]
        return found | {name: self.table[name] for name in self.table.dtype.names or () if name not in found}

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table.

        Raises:
            UserError: pandas is not installed.
        """
        return data_frame(self.columns())


def data_frame(columns: Mapping[str, np.ndarray]) -> pandas.DataFrame:
    """Return columns as a data frame.

    Args:
        columns: name -> (rows,) array.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise UserError("tables need the package 'pandas': pip install 'mlreco[pandas]'") from None
    return pandas.DataFrame(dict(columns))
