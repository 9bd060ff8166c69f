"""SPINE's own reader opens our output; needs its wheel (``pip install spine``), which needs neither ROOT nor CUDA."""

import numpy as np
import pytest

from mlreco.iotools import HDF5Writer

spine_read = pytest.importorskip("spine.io.read")


@pytest.mark.parametrize("post_processors", [None, ["greedy_clusterer", "particle_builder"]])
def test_values_and_attributes(tmp_path, post_processors):
    rng = np.random.default_rng(0)
    events = [
        {
            "coordinates": rng.integers(0, 512, (rows, 3)).astype(np.int32),
            "energies": rng.random(rows).astype(np.float32),
            "semantics": rng.integers(-1, 5, rows).astype(np.int8),
            "semantic_scores": rng.random((rows, 5)).astype(np.float32),
            "event_id": np.array([[1, 2, rows]]),
            "voxel_size": np.full((1, 3), 0.3),
        }
        for rows in (5, 0, 300)
    ]
    info = {
        "cfg": "model: {name: chain}\n",
        "class_scheme": "pilarnet",
        "classes": ["HIP", "MIP", "Shower", "Delta", "Michel"],
    }
    if post_processors is not None:
        info["post_processors"] = post_processors
    with HDF5Writer(tmp_path / "out.h5", info, {"voxel_size": ("x", "y", "z")}) as writer:
        for event in events:
            writer.append(event)
    reader = spine_read.HDF5Reader(file_keys=[str(tmp_path / "out.h5")])
    assert len(reader) == 3
    assert reader.cfg == {"model": {"name": "chain"}}
    assert reader.post_processors == (None if post_processors is None else tuple(post_processors))
    for order in ((0, 1, 2), (2, 0)):
        for index, found in zip(order, reader.get_many(list(order)), strict=True):
            for name, values in events[index].items():
                assert found[name].dtype == values.dtype
                np.testing.assert_array_equal(found[name], values)
    for name, values in events[1].items():
        np.testing.assert_array_equal(reader.get(1)[name], values)


def test_a_file_without_configuration_opens(tmp_path):
    with HDF5Writer(tmp_path / "out.h5", {}) as writer:
        writer.append({"energies": np.ones(3, np.float32)})
    assert spine_read.HDF5Reader(file_keys=[str(tmp_path / "out.h5")]).get(0)["energies"].tolist() == [1, 1, 1]
