"""A provider for SPINE's full chain: a chain of mlreco as its fragmentation stage.

In the YAML of SPINE (1.4), in the place of its own fragmentation::

    model:
      name: full_chain
      modules:
        chain:
          stages:
            - {name: segmentation, ...}
            - {name: fragmentation, provider: "mlreco.spine_provider:FRAGMENTATION", chain: thin, min_voxels: 3}

``chain`` is what `mlreco.Reconstructor.from_pretrained` takes: the name of a shipped chain, a configuration or a
checkpoint. Its instances become SPINE's fragments; the shape of a fragment is the most common one of its voxels in
SPINE's own segmentation. Nothing else of mlreco imports this module, and it trains nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from spine.data import IndexBatch, TensorBatch
from spine.model.full_chain.registry import ProviderSpec
from spine.model.full_chain.stage import ChainStage
from spine.model.full_chain.state import ChainState, StageResult

from mlreco.errors import UserError, nearest
from mlreco.particles.kinds import most_common

VOXEL_SIZE = 0.3
"""Edge of a voxel where SPINE gives no geometry, cm."""

_KEYS = ("chain", "min_voxels", "voxel_size")


class FragmentationStage(ChainStage):
    """Fragments from a chain of mlreco.

    Args:
        name: of the stage.
        chain: name of a chain, configuration or checkpoint.
        min_voxels: smaller fragments are left out.
        voxel_size: edge of a voxel in cm, where SPINE gives no geometry of the image.
    """

    requires = frozenset({"point_data", "seg_pred"})
    optional = frozenset({"meta"})
    provides = frozenset({"fragment_clusts", "fragment_shapes"})

    def __init__(self, name: str, chain: str = "thin", min_voxels: int = 1, voxel_size: float = VOXEL_SIZE) -> None:
        from mlreco.reconstructor import Reconstructor

        super().__init__(name)
        self.min_voxels = min_voxels
        self.voxel_size = voxel_size
        self.reconstructor = Reconstructor.from_pretrained(chain)

    def forward(self, state: ChainState) -> StageResult:
        """Return the fragments of all events of a batch, as rows of its voxels, and their shapes."""
        data = state.require("point_data", self.name).data.to_numpy()
        shapes = state.require("seg_pred", self.name).to_numpy().tensor.reshape(-1).astype(np.int64)
        metas = state.get("meta")
        rows: list[np.ndarray] = []
        chosen: list[np.ndarray] = []
        counts = np.zeros(data.batch_size, np.int64)
        for number in range(data.batch_size):
            first, end = int(data.edges[number]), int(data.edges[number + 1])
            instances = self._instances(data, first, end, None if metas is None else metas[number])
            found = _members(instances, self.min_voxels)
            rows += [first + members for members in found]
            owners = np.repeat(np.arange(len(found)), [len(members) for members in found])
            inside = np.concatenate([np.empty(0, np.int64), *found])
            chosen.append(most_common(shapes[first + inside], owners, len(found)))
            counts[number] = len(found)
        lists = np.empty(len(rows), dtype=object)
        lists[:] = rows
        sizes = np.array([len(members) for members in rows], np.int64)
        index = IndexBatch(lists, data.counts, counts, sizes, default=np.empty(0, np.int64))
        products = {
            "fragment_clusts": index,
            "fragment_shapes": TensorBatch(np.concatenate([np.empty(0, np.int64), *chosen]), counts),
        }
        return StageResult(products, dict(products))

    def _instances(self, data: Any, first: int, end: int, meta: Any) -> np.ndarray:
        """Return the instance of each voxel of an event."""
        if end == first:
            return np.empty(0, np.int64)
        coordinates = data.coords.tensor[first:end].astype(np.int64)
        energies = np.asarray(data.features.tensor[first:end], np.float64)[:, 0]
        geometry: dict[str, Any] = {"voxel_size": self.voxel_size}
        if meta is not None:
            geometry = {"voxel_size": tuple(map(float, meta.size)), "image_shape": tuple(map(int, meta.count))}
        event = self.reconstructor.predict(coordinates, energies, **geometry)
        return event.instances[event.row_of_input]


def _members(instances: np.ndarray, least: int) -> list[np.ndarray]:
    """Return the rows of each instance of at least so many voxels."""
    order = np.argsort(instances, kind="stable")
    order = order[np.searchsorted(instances[order], 0) :]
    starts = np.flatnonzero(np.diff(instances[order], prepend=-1))
    return [members for members in np.split(order, starts)[1:] if len(members) >= least]


def _build(name: str, config: dict[str, Any], _owner: Any) -> FragmentationStage:
    for key in config:
        if key not in _KEYS:
            raise UserError(f"stage '{name}': no key '{key}'{nearest(key, _KEYS)}")
    return FragmentationStage(name, **config)


FRAGMENTATION = ProviderSpec("mlreco.spine_provider:FRAGMENTATION", _build)
"""What a stage names as ``provider: "mlreco.spine_provider:FRAGMENTATION"``."""
