"""A reader: a text file with one event a line, ``x y z value`` for each voxel."""

from pathlib import Path

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools import ClusterVoxels
from mlreco.voxels import EventVoxels, ImageMeta

MAGIC = "voxel text\n"


class VoxelTextReader:
    """Events of a text file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @staticmethod
    def recognizes(path: str | Path) -> bool:
        """Tell whether a file begins as these files do."""
        return Path(path).read_bytes().startswith(MAGIC.encode())

    def _lines(self) -> list[str]:
        return self.path.read_text().removeprefix(MAGIC).splitlines()

    def __len__(self) -> int:
        return len(self._lines())

    def products(self) -> tuple[str, ...]:
        return ("sparse3d_text",)

    def event_id(self, index: int) -> np.ndarray:
        return np.array([0, 0, index])

    def sparse3d(self, index: int, producer: str) -> EventVoxels:
        table = np.array(self._lines()[index].split(), np.float64).reshape(-1, 4)
        return EventVoxels(
            table[:, :3].astype(np.int32), table[:, 3:].astype(np.float32), (producer,), ImageMeta((16, 16, 16))
        )

    def cluster3d(self, index: int, producer: str) -> ClusterVoxels:
        raise UserError(f"{self.path}: no product 'cluster3d_{producer}'; there is: sparse3d_text")

    def particles(self, index: int, producer: str) -> np.ndarray:
        raise UserError(f"{self.path}: no product 'particle_{producer}'; there is: sparse3d_text")

    def close(self) -> None:
        """Nothing is kept open."""
