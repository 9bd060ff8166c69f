"""Events of several sources, weighted, by size, in shares that change: exact, repeatable, none twice or lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_samples import write_events

from mlreco.config import load_config
from mlreco.config.standalone import standalone
from mlreco.course import Course
from mlreco.errors import UserError
from mlreco.iotools import loader_factory
from mlreco.iotools.joint import JointDataset
from mlreco.iotools.mixing import MixedSampler, Source
from mlreco.iotools.plan import Shard
from mlreco.iotools.skipped import Skipped
from mlreco.voxels import EventVoxels, ImageMeta

RISING = Course.of([[0, 0], [10, 3], [20, 1.5]])


def sources_of(sizes, weights, endless=-1):
    ends = np.cumsum(sizes)
    return [
        Source(f"s{i}", np.arange(end - size, end), Course.of(weight), endless=i == endless)
        for i, (size, end, weight) in enumerate(zip(sizes, ends, weights, strict=True))
    ]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    batch_size=st.integers(1, 7),
    seed=st.integers(0, 2**31 - 1),
    limited=st.booleans(),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_a_batch_depends_on_its_number_alone(sizes, batch_size, seed, limited, data):
    weights = data.draw(
        st.lists(
            st.sampled_from([1, 0.5, RISING.values[1], [[0, 1], [5, 0]]]), min_size=len(sizes), max_size=len(sizes)
        )
    )
    weights[0] = 1
    limit = Course.of([[0, 3], [8, 9]]) if limited else None
    sources = [
        Source(one.name, one.entries, one.weight, np.arange(3, 3 + len(one.entries)))
        for one in sources_of(sizes, weights)
    ]
    straight = MixedSampler(sources, batch_size, seed, limit)
    batches = [straight.batch(number) for number in range(12)]
    jumping = MixedSampler(sources, batch_size, seed, limit)
    for number in data.draw(st.permutations(range(12))):
        assert np.array_equal(jumping.batch(number), batches[number])


def test_shares_are_exact_but_for_a_few_events_and_follow_their_course():
    sampler = MixedSampler(sources_of([40, 1000, 7], [1, 2.5, 0.2]), 8, seed=5)
    drawn = np.concatenate([sampler.batch(number) for number in range(500)])
    counts = np.histogram(drawn, [0, 40, 1040, 1047])[0]
    assert np.abs(counts - 4000 * np.array([1, 2.5, 0.2]) / 3.7).max() < 6
    course = [[100, 1.0], [300, 0.0]]
    sampler = MixedSampler(sources_of([50, 50], [course, [[0, 0], [100, 0], [300, 1]]]), 8, seed=1)
    first = np.array([(sampler.batch(number) < 50).sum() for number in range(400)])
    assert (first[:101] == 8).all() and (first[300:] == 0).all()
    expected = 8 * np.interp(np.arange(400), [100, 300], [1, 0])
    assert np.abs(np.cumsum(first - expected)).max() < 6


@pytest.mark.parametrize("limit", [None, Course.of(100)])
def test_every_event_of_a_source_comes_once_in_a_pass(limit):
    sources = [
        Source("a", np.arange(5), Course.of(1), np.ones(5)),
        Source("b", 5 + np.arange(8), Course.of(1), np.ones(8)),
    ]
    sampler = MixedSampler(sources, 4, 3, limit)
    drawn = np.concatenate([sampler.batch(number) for number in range(40)])
    for first, count in ((0, 5), (5, 8)):
        own = drawn[(drawn >= first) & (drawn < first + count)]
        passes = own[: len(own) // count * count].reshape(-1, count)
        assert (np.sort(passes, axis=1) == np.arange(first, first + count)).all()
        assert len({tuple(one) for one in passes.tolist()}) > 3  # in another order each time


def test_a_source_without_end_is_drawn_in_order():
    sampler = MixedSampler(sources_of([6, 1], [1, 1], endless=1), 4, 0)
    drawn = np.concatenate([sampler.batch(number) for number in (3, 1, 0, 2)])
    simulated = np.sort(drawn[drawn >= 6])
    assert simulated.tolist() == list(range(6, 6 + len(simulated))) and 6 <= len(simulated) <= 10


def test_large_events_wait_until_the_limit_has_grown():
    sizes = np.arange(1, 101)
    source = Source("s", np.arange(100), Course.of(1), sizes)
    sampler = MixedSampler([source], 5, 2, Course.of([[0, 10], [50, 60]]))
    batches = np.stack([sizes[sampler.batch(number)] for number in range(80)])
    limits = np.interp(np.arange(80), [0, 50], [10, 60])
    assert (batches.max(axis=1) <= limits).all() and batches[50:].max() > 55
    with pytest.raises(UserError, match=r"max_voxels: is 2 at its smallest, and the smallest event of s has 3 voxels"):
        MixedSampler([Source("s", np.arange(2), Course.of(1), np.array([3, 9]))], 5, 2, Course.of([[0, 2], [9, 9]]))


def test_weights_that_are_all_zero():
    with pytest.raises(UserError, match=r"sources: after 7 iterations no source has a weight above 0"):
        MixedSampler(sources_of([3, 3], [0, [[0, 1], [7, 0]]]), 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "expected a number or a list"),
        (True, "expected a number or a list"),
        (float("nan"), "expected a number or a list"),
        ([], "expected a number or a list"),
        ([[0, 1], [0, 2]], "expected rising iterations"),
        ([[0.5, 1]], "expected whole iterations"),
        ([[0, "a"]], "expected numbers in the pairs"),
    ],
)
def test_what_is_no_course(value, message):
    with pytest.raises(ValueError, match=message):
        Course.of(value)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixing")
    write_events(folder / "a.h5", (20, 30, 40, 50))
    write_events(folder / "b.h5", (25, 35, 45))
    write_events(folder / "c.h5", (21, 31))
    return folder


def config_of(folder, dataset, **iotool):
    (folder / "chain.cfg").write_text(standalone("spice_cpu"))
    overrides = ["iotool.dataset.data_keys=null", "iotool.num_workers=0", "iotool.batch_size=4", *dataset]
    overrides += [f"iotool.{key}={value}" for key, value in iotool.items()]
    return load_config(folder / "chain.cfg", overrides)


def mixture(folder, weights="weight: 2", more=""):
    first = f"first: {{data_keys: [{folder}/a.h5, {folder}/c.h5], weight: [[0, 1], [6, 3]]}}"
    return [f"iotool.dataset.sources={{{first}, second: {{data_keys: [{folder}/b.h5], {weights}}}{more}}}"]


def batches(config, count, start=0, shard=None):
    options = {} if shard is None else {"shard": shard}
    with loader_factory(
        config["iotool"], seed=4, train=True, energies="input_data", start_iteration=start, **options
    ) as loader:
        steps = loader.steps()
        return [[tuple(row) for part in next(steps) for row in np.stack(part["source"]).tolist()] for _ in range(count)]


@pytest.mark.parametrize("limit", [[], ["iotool.dataset.max_voxels=[[0, 25], [5, 50]]"]])
def test_a_mixed_training_goes_on_exactly_and_is_shared_without_overlap_or_loss(events, limit):
    config = config_of(events, [*mixture(events), *limit])
    whole = batches(config, 8)
    assert batches(config, 5, start=3) == whole[3:]
    parts = [batches(config, 8, shard=Shard(rank, 3)) for rank in range(3)]
    assert [[*one, *two, *three] for one, two, three in zip(*parts, strict=True)] == whole
    assert {file for batch in whole for file, _ in batch} == {0, 1, 2}
    first = [sum(file < 2 for file, _ in batch) for batch in whole]
    assert abs(sum(first) - sum(4 * w / (w + 2) for w in np.interp(range(8), [0, 6], [1, 3]))) < 3
    if limit:
        sizes = {0: (20, 30, 40, 50), 1: (21, 31), 2: (25, 35, 45)}
        for number, batch in enumerate(whole):
            assert max(sizes[file][entry] for file, entry in batch) <= np.interp(number, [0, 5], [25, 50])


def test_inference_reads_the_files_of_all_sources(events):
    config = config_of(events, mixture(events))
    with loader_factory(config["iotool"], train=False) as loader:
        assert len(loader.dataset) == 9 and [file.name for file in loader.dataset.files] == ["a.h5", "c.h5", "b.h5"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["iotool.dataset.data_keys=[a.h5]"], "data_keys: null"),
        (["iotool.dataset.sources.second.weight=null"], "some sources have a weight and some have none"),
        (["iotool.dataset.sources.second.weight=-1"], "expected at least 0"),
        (["iotool.dataset.sources.second.wait=1"], "did you mean 'weight'"),
        (["iotool.dataset.sources.second.data_keys=null"], "expected either data_keys or simulation"),
        (["iotool.dataset.max_voxels=0"], "expected at least 1"),
        (["iotool.dataset.max_voxels=5"], "the smallest event of iotool.dataset.sources.first has 20 voxels"),
        (["iotool.sampler=SequentialSampler"], "shuffle the events, which SequentialSampler does not"),
    ],
)
def test_mistakes(events, overrides, message):
    with pytest.raises(UserError, match=message):
        config = config_of(events, [*mixture(events), *overrides])
        loader_factory(config["iotool"], train=True, energies="input_data")


def test_a_file_of_two_sources(events):
    with pytest.raises(UserError, match=r"b.h5 belongs to second and to third"):
        config = config_of(events, mixture(events, more=f", third: {{data_keys: [{events}/b.h5], weight: 1}}"))
        loader_factory(config["iotool"], train=True)


def test_an_augmentation_may_grow(events):
    config = config_of(events, mixture(events), augment="{charge_jitter: [[1, 0.0], [2, 0.5]]}")
    with loader_factory(config["iotool"], seed=4, train=True, energies="input_data") as loader:
        steps = loader.steps()
        read = [next(steps)[0] for _ in range(3)]
        for number, batch in enumerate(read):
            plain = np.concatenate([loader.dataset.fetch(index)["input_data"].features for index in batch["index"]])
            assert np.array_equal(plain, batch["input_data"].features.numpy()) == (number < 2)


class _Endless:
    """Events that are made up."""

    endless, files, keys, left_out, remarks = True, ["made up"], ("image",), {}, ()
    skipped_files = (Skipped("made up", -1, "none"),)

    def __init__(self, edge):
        self.edge = edge

    def __len__(self):
        return 2**31

    def fetch(self, index, rng=None, iteration=0):
        image = EventVoxels(
            np.zeros((1, 3), np.int32),
            np.ones((1, 1), np.float32),
            ("value",),
            ImageMeta((8, 8, 8), voxel_size=(self.edge,) * 3),
        )
        return {"image": image, "index": index, "source": np.array([0, index])}

    def source(self, index):
        return 0, index

    def describe(self, index):
        return f"made up: event {index}"

    def close(self):
        pass


def test_datasets_one_after_another():
    joint = JointDataset([_Endless(0.3), _Endless(0.3)])
    assert len(joint) == 2**32 and joint.endless and len(joint.skipped_files) == 2
    event = joint.fetch(2**31 + 5)
    assert event["index"] == 2**31 + 5 and event["source"].tolist() == [1, 5] == list(joint.source(2**31 + 5))
    assert joint.describe(2**31 + 5) == "made up: event 5"
    assert [joint.source(index)[0] for index in joint.spread(10)] == [0] * 5 + [1] * 5
    with pytest.raises(UserError, match=r"has voxels of 0.4 cm, and made up: event 0 of 0.3 cm"):
        JointDataset([_Endless(0.3), _Endless(0.4)])
