"""Our network as the fragmentation stage of SPINE's full chain; MinkowskiEngine is a stub that must not be used."""

import sys
import types

import numpy as np
import pytest

import mlreco
from mlreco import shipped
from mlreco.errors import UserError

pytest.importorskip("spine.model.full_chain")


@pytest.fixture(scope="module")
def full_chain():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "MinkowskiEngine", types.ModuleType("MinkowskiEngine"))
        from spine.model.full_chain.model import FullChain

        stage = {"name": "fragmentation", "provider": "mlreco.spine_provider:FRAGMENTATION", "chain": "thin"}
        yield lambda **more: FullChain(chain={"inputs": ["seg_pred"], "stages": [stage | more]})


@pytest.fixture(scope="module")
def events():
    with mlreco.open(shipped.sample("sample")) as file:
        return [file[number] for number in range(2)]


def batch_of(events):
    from spine.data import TensorBatch

    rows = [
        np.column_stack([np.full(event.num_voxels, number), event.coordinates, event.energies])
        for number, event in enumerate(events)
    ]
    counts = [len(one) for one in rows]
    data = TensorBatch(np.concatenate(rows).astype(np.float32), counts, has_batch_col=True, coord_cols=[1, 2, 3])
    shapes = np.concatenate([np.array([1, 1, 0, 3, 2])[event.semantics_true] for event in events])
    return data, TensorBatch(shapes.astype(np.int64), counts)


def test_fragments_are_those_of_the_chain(full_chain, events):
    data, shapes = batch_of(events)
    out = full_chain()(data, seg_pred=shapes)
    chain = mlreco.Reconstructor.from_pretrained("thin")
    starts = np.cumsum([0, *(event.num_voxels for event in events)])
    assert out["fragment_clusts"].counts.tolist() == [
        len(np.unique(found[found >= 0])) for found in (chain.predict(event).instances for event in events)
    ]
    for number, event in enumerate(events):
        instances = chain.predict(event).instances
        expected = [starts[number] + np.flatnonzero(instances == one) for one in np.unique(instances[instances >= 0])]
        for members, wanted in zip(out["fragment_clusts"][number], expected, strict=True):
            np.testing.assert_array_equal(np.asarray(members) + starts[number], wanted)
        for members, shape in zip(expected, out["fragment_shapes"][number], strict=True):
            values, counts = np.unique(shapes.tensor[members], return_counts=True)
            assert shape == values[counts.argmax()]


def test_small_fragments_can_be_left_out(full_chain, events):
    data, shapes = batch_of(events)
    out = full_chain(min_voxels=10)(data, seg_pred=shapes)
    assert min(len(members) for members in out["fragment_clusts"].index_list) >= 10


def test_empty_events_stay_in_their_place(full_chain, events):
    from spine.data import TensorBatch

    data, shapes = batch_of(events[:1])
    count = len(shapes.tensor)
    data = TensorBatch(data.tensor, [0, count, 0], has_batch_col=True, coord_cols=[1, 2, 3])
    out = full_chain()(data, seg_pred=TensorBatch(shapes.tensor, [0, count, 0]))
    counts = out["fragment_clusts"].counts.tolist()
    assert counts[0] == counts[2] == 0 < counts[1]
    assert len(out["fragment_shapes"].tensor) == sum(counts)


def test_mistakes_are_told(full_chain):
    with pytest.raises(UserError, match="stage 'fragmentation': no key 'min_voxel'; did you mean 'min_voxels'"):
        full_chain(min_voxel=3)
    with pytest.raises(UserError, match="thn"):
        full_chain(chain="thn")
