"""Reader of LArCV2 ROOT files through uproot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.iotools.filekind import ROOT_FILE, file_kind
from mlreco.iotools.interface import ClusterVoxels
from mlreco.iotools.larcv2.rootfile import event_ids, leaves_of, open_root, product_trees, telling
from mlreco.iotools.voxel_rows import Fail
from mlreco.voxels import EventVoxels, ImageMeta


def _leaves_of_kind(kind: str, leaves: dict[str, Any]) -> Any:
    """Return what reads the leaves of a kind of product. It is compiled, for which other files should not wait."""
    from mlreco.iotools.larcv2.particles import ParticleLeaves
    from mlreco.iotools.larcv2.products import ClusterLeaves, ImageLeaves

    return {"sparse3d": ImageLeaves, "cluster3d": ClusterLeaves, "particle": ParticleLeaves}[kind](leaves)


class LArCV2Reader:
    """Events of one LArCV2 file.

    The file is checked when the reader is made, then opened again by each process that reads from it; pickling drops
    the handle. The baskets of a leaf are read whole and the last ones kept, so that events in order are read many times
    faster than events at random: convert a file that is read at random (``mlreco convert``).

    Args:
        path: the file.

    Raises:
        UserError: the file is missing, truncated, no LArCV2 file, or uproot is not installed.

    Attributes:
        unusable: products that cannot be read, or hold other events than the others -> why.
    """

    format_name = "LArCV2"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: Any = None
        self._process = -1
        self._trees: dict[str, Any] = {}
        self._leaves: dict[str, Any] = {}
        self._open()
        try:
            self._event_ids, others = event_ids(self._trees)
            self.unusable = {**self._lost, **others}
            self._products = tuple(sorted(set(self._trees) - set(others)))
        finally:
            self.close()

    @classmethod
    def recognizes(cls, path: str | Path) -> bool:
        """Whether the file is a ROOT file.

        Raises:
            UserError: the file is missing or may not be read.
        """
        return file_kind(path) == ROOT_FILE

    def __len__(self) -> int:
        return len(self._event_ids)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_process": -1, "_trees": {}, "_leaves": {}}

    def products(self) -> tuple[str, ...]:
        """Names of the products in the file, such as ``sparse3d_pcluster``."""
        return self._products

    def event_id(self, index: int) -> np.ndarray:
        """Return run, subrun and event number, (3,) int64."""
        return self._event_ids[index]

    def sparse3d(self, index: int, producer: str) -> EventVoxels:
        """Read an image with one feature.

        Args:
            index: number of the event in the file.
            producer: the part of the product's name after ``sparse3d_``.

        Returns:
            Sorted voxels; the only column is named after the producer.

        Raises:
            UserError: no such product, voxels outside the volume, a voxel twice, NaN or infinite values, damaged data.
        """
        return self._read(index, f"sparse3d_{producer}", producer)

    def cluster3d(self, index: int, producer: str) -> ClusterVoxels:
        """Read voxel sets; values of a voxel that occurs several times in one set are added.

        Args:
            index: number of the event in the file.
            producer: the part of the product's name after ``cluster3d_``.

        Raises:
            UserError: no such product, voxels outside the volume, NaN or infinite values, damaged data.
        """
        return self._read(index, f"cluster3d_{producer}")

    def particles(self, index: int, producer: str) -> np.ndarray:
        """Read the particles of an event.

        Args:
            index: number of the event in the file.
            producer: the part of the product's name after ``particle_``.

        Returns:
            Structured array: LArCV3's fields, and whatever else the file has under the member's name, such as
            ``group_id``, ``interaction_id``, ``parent_id``; ``children_id`` is (P, K), filled up with -1. Files of 2018
            have none of these.

        Raises:
            UserError: no such product, damaged data.
        """
        return self._read(index, f"particle_{producer}")

    def image_meta(self, index: int, product: str) -> ImageMeta:
        """Return the geometry of an image or of voxel sets, without reading voxels.

        Raises:
            UserError: no such product, damaged data.
        """
        self._check_product(product)
        fail = self._failure(product)
        leaves = self._leaves_of(product)
        with telling(fail):
            return leaves.metas.meta(index, False, fail)

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file, self._trees, self._leaves = None, {}, {}

    def _read(self, index: int, product: str, *arguments: str) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"event {index} of {len(self)} in {self.path}")
        self._check_product(product)

        def fail(text: str) -> UserError:
            return UserError(f"{self.path}: event {index}: {product}: {text}")

        leaves = self._leaves_of(product)
        with telling(fail):
            return leaves.read(index, *arguments, *([] if product.startswith("particle") else [fail]))

    def _check_product(self, product: str) -> None:
        if product not in self._products:
            reason = self.unusable.get(product)
            told = f"'{product}' {reason}" if reason else f"no product '{product}'{nearest(product, self._products)}"
            raise UserError(f"{self.path}: {told}")

    def _open(self) -> None:
        self._file = open_root(self.path)
        self._process = os.getpid()
        self._leaves = {}
        self._trees, self._lost = product_trees(self._file, self.path)

    def _leaves_of(self, product: str) -> Any:
        if self._file is None or self._process != os.getpid():
            self._open()
        if product not in self._leaves:
            with telling(self._failure(product)):
                leaves = leaves_of(self._trees[product])
                try:
                    self._leaves[product] = _leaves_of_kind(product.partition("_")[0], leaves)
                except KeyError as error:
                    raise UserError(f"{self.path}: product '{product}' has no leaf {error}") from None
        return self._leaves[product]

    def _failure(self, product: str) -> Fail:
        return lambda text: UserError(f"{self.path}: {product}: {text}")
