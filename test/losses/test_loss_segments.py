import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_samples import random_batch

from mlreco.models.losses.instances import Instances
from mlreco.models.losses.segments import expand_runs, fused_key, run_ids, segment_mean, segment_starts, segment_sum

SEGMENTS = torch.tensor([2, 0, 2, 4, 0, 2])


@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_sum_and_mean_equal_a_loop(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for k in range(5):
        chosen = values[k == SEGMENTS]
        torch.testing.assert_close(segment_sum(values, SEGMENTS, 5)[k], chosen.sum(0))
        expected = chosen.mean(0) if len(chosen) else torch.zeros(shape[1:], dtype=torch.float64)
        torch.testing.assert_close(segment_mean(values, SEGMENTS, 5)[k], expected)


@pytest.mark.parametrize("operation", [segment_sum, segment_mean])
@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_gradcheck(operation, shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: operation(x, SEGMENTS, 5), values)


def test_no_rows():
    empty = torch.zeros(0, 3)
    assert torch.equal(segment_mean(empty, torch.zeros(0, dtype=torch.int64), 2), torch.zeros(2, 3))
    assert segment_mean(empty, torch.zeros(0, dtype=torch.int64), 0).shape == (0, 3)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 6))))
def test_runs_written_out(runs):
    starts, lengths = torch.tensor(runs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    numbers, run = expand_runs(starts, lengths)
    assert numbers.tolist() == [start + i for start, length in runs for i in range(length)]
    assert run.tolist() == [k for k, (_, length) in enumerate(runs) for _ in range(length)]
    assert segment_starts(lengths).tolist() == [sum(length for _, length in runs[:k]) for k in range(len(runs))]


BOUND = 2**63


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(-2, 4),
            st.integers(-BOUND, BOUND - 1) | st.integers(0, 3),
        )
    )
)
def test_fused_key_has_the_order_of_the_triples(triples):
    key = fused_key(*torch.tensor(triples, dtype=torch.int64).reshape(-1, 3).unbind(1))
    ordered, order = torch.sort(key, stable=True)
    assert [triples[i] for i in order] == sorted(triples)
    distinct = sorted(set(triples))
    assert run_ids(ordered).tolist() == [distinct.index(triple) for triple in sorted(triples)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 60), st.integers(1, 8), st.integers(1, 5), st.integers(1, 20))
def test_instances_and_pairs_equal_plain_sets(seed, voxels, events, classes, numbers):
    *_, batch, semantics, instances = random_batch(seed, voxels, events, classes, numbers)
    keep = (semantics >= 0) & (instances >= 0)
    truth = Instances.build(batch, semantics, instances, keep)
    labels = [tuple(row) for row in torch.stack([batch, semantics, instances], 1).tolist()]
    rows = sorted(keep.nonzero().squeeze(1).tolist(), key=lambda row: (labels[row], row))
    assert truth.rows.tolist() == rows
    names = sorted({labels[row] for row in rows})
    groups = sorted({name[:2] for name in names})
    assert truth.instance.tolist() == [names.index(labels[row]) for row in rows]
    assert truth.group.tolist() == [groups.index(name[:2]) for name in names]
    assert truth.group_class.tolist() == [group[1] for group in groups]
    present = sorted({group[0] for group in groups})
    assert truth.group_event.tolist() == [present.index(group[0]) for group in groups]

    pairs = truth.voxel_pairs()
    expected = [(i, k) for k, name in enumerate(names) for i, row in enumerate(rows) if labels[row][:2] == name[:2]]
    assert list(zip(pairs.row.tolist(), pairs.instance.tolist(), strict=True)) == expected
    assert pairs.member.tolist() == [labels[rows[i]] == names[k] for i, k in expected]
    assert pairs.row[pairs.own].tolist() == list(range(len(rows)))
    assert torch.equal(pairs.instance[pairs.own], truth.instance)

    first, second = truth.instance_pairs()
    couples = [(i, j) for j, b in enumerate(names) for i, a in enumerate(names[:j]) if a[:2] == b[:2]]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == couples


def test_group_weights_average_over_classes_then_events():
    batch, semantics = torch.tensor([3, 3, 3, 7]), torch.tensor([0, 1, 1, 4])
    truth = Instances.build(batch, semantics, torch.tensor([0, 0, 1, 0]), torch.ones(4, dtype=torch.bool))
    assert truth.group_weights(torch.float64).tolist() == [0.25, 0.25, 0.5]
