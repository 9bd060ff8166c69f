import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlreco.errors import UserError
from mlreco.iotools.samplers import RandomSampler, RandomSequenceSampler, SequentialSampler, make_sampler

SIZES = {"num_entries": st.integers(1, 30), "batch_size": st.integers(1, 12), "seed": st.integers(0, 2**32)}


@given(**SIZES)
def test_sequential(num_entries, batch_size, seed):
    sampler = SequentialSampler(num_entries, batch_size, seed)
    found = np.concatenate([sampler.batch(number) for number in range(5)])
    assert found.tolist() == [number % num_entries for number in range(5 * batch_size)]


@given(**SIZES)
def test_random_epochs_hold_every_entry_once(num_entries, batch_size, seed):
    sampler = RandomSampler(num_entries, batch_size, seed)
    batches = -(-3 * num_entries // batch_size)
    found = np.concatenate([sampler.batch(number) for number in range(batches)])[: 3 * num_entries]
    for epoch in found.reshape(3, num_entries):
        assert sorted(epoch.tolist()) == list(range(num_entries))


@given(**SIZES)
def test_random_sequence_is_contiguous(num_entries, batch_size, seed):
    sampler = RandomSequenceSampler(num_entries, batch_size, seed)
    for number in range(5):
        batch = sampler.batch(number)
        assert len(batch) == batch_size and (batch >= 0).all() and (batch < num_entries).all()
        assert (np.diff(batch) % num_entries == 1 % num_entries).all()
        if num_entries >= batch_size:
            assert (np.diff(batch) == 1).all()


@given(
    kind=st.sampled_from([SequentialSampler, RandomSampler, RandomSequenceSampler]), number=st.integers(0, 999), **SIZES
)
def test_batches_depend_on_seed_and_number_only(kind, number, num_entries, batch_size, seed):
    used = kind(num_entries, batch_size, seed)
    for earlier in (0, 7, 3):
        used.batch(earlier)
    assert used.batch(number).tolist() == kind(num_entries, batch_size, seed).batch(number).tolist()


def test_starts_and_orders_vary():
    starts = {int(RandomSequenceSampler(10, 4, 5).batch(number)[0]) for number in range(200)}
    assert starts == set(range(7))
    assert RandomSampler(50, 50, 1).batch(0).tolist() != RandomSampler(50, 50, 1).batch(1).tolist()
    assert RandomSampler(50, 50, 1).batch(0).tolist() != RandomSampler(50, 50, 2).batch(0).tolist()


def test_configuration():
    assert make_sampler({"name": "RandomSampler"}, 10, 2, 9).seed == 9
    assert make_sampler({"name": "RandomSampler", "seed": 3}, 10, 2, 9).seed == 3
    assert make_sampler({"name": "RandomSampler", "seed": -1}, 10, 2, 9).seed == 9
    with pytest.raises(UserError, match="did you mean 'RandomSequenceSampler'"):
        make_sampler({"name": "RandomSequenceSample"}, 10, 2, 0)
    with pytest.raises(UserError, match="unknown key 'sed'; did you mean 'seed'"):
        make_sampler({"name": "RandomSampler", "sed": 1}, 10, 2, 0)
    with pytest.raises(UserError, match="'name' is missing"):
        make_sampler({"seed": 1}, 10, 2, 0)
    with pytest.raises(UserError, match=r"sampler.batch_size is 3"):
        make_sampler({"name": "RandomSampler", "batch_size": 3}, 10, 2, 0)
