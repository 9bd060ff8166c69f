import json
import math
import os

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.post_processing import GreedyClusterer
from mlreco.post_processing.clustering.embedded_voxels import EmbeddedVoxels
from mlreco.post_processing.contingency import contingency, without_small_instances
from mlreco.post_processing.factories import build_post_processors
from mlreco.post_processing.metrics import adjusted_rand_index
from mlreco.post_processing.settings.thresholds import PUBLISHED
from mlreco.post_processing.tuning import tune
from mlreco.post_processing.tuning.grid import Grid, best_point
from mlreco.post_processing.tuning.metrics import TUNABLE
from mlreco.post_processing.tuning.sample import ClassSample
from mlreco.post_processing.tuning.truth import Truth
from mlreco.semantics import PILARNET


def clumped_voxels(voxels, seed, n_instances=6):
    """Embeddings in clumps of which some overlap, seediness that falls with the distance from the clump."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-1, 1, (n_instances, 3))
    instances = rng.integers(0, n_instances, voxels)
    offsets = rng.normal(0, 0.15, (voxels, 3))
    seediness = np.exp(-(offsets**2).sum(1) / 0.05) * rng.uniform(0.6, 1, voxels)
    embeddings = (centres[instances] + offsets).astype(np.float32)
    margins = rng.uniform(0.05, 0.25, voxels).astype(np.float32)
    return embeddings, margins, seediness.astype(np.float32), instances.astype(np.int32)


def make_event(voxels, seed):
    rng = np.random.default_rng(seed)
    embeddings, margins, seediness, instances = clumped_voxels(voxels, seed)
    semantics_true = np.where(rng.random(voxels) < 0.05, -1, rng.integers(0, 3, voxels))
    return {
        "embeddings": embeddings,
        "margins": margins,
        "seediness": seediness,
        "semantics_true": semantics_true.astype(np.int8),
        "semantics": np.where(rng.random(voxels) < 0.1, 1, semantics_true).astype(np.int8),
        "instances_true": np.where(rng.random(voxels) < 0.1, -1, instances).astype(np.int32),
        "coordinates": rng.integers(0, 50, (voxels, 3)).astype(np.int32),
        "fragments": instances,
    }


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    path = tmp_path_factory.mktemp("tuning") / "output.h5"
    info = {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}
    info["thresholds"] = json.dumps({"MIP": {"seed": 0.33, "probability": 0.21}})
    with HDF5Writer(path, info) as writer:
        for seed, voxels in enumerate((300, 0, 1, 200, 260)):
            writer.append(make_event(voxels, seed))
    return path


def naive_mean(events, number, thresholds, product, min_voxels=10, metric=adjusted_rand_index):
    """Mean over events of a class, clustered from scratch by the public clusterer; NaN without events."""
    values = []
    for event in events:
        rows = event[product] == number
        arrays = (event[name][rows] for name in ("embeddings", "margins", "seediness"))
        labels = GreedyClusterer(*thresholds).fit_predict(*arrays)
        true = event["instances_true"][rows]
        true, labels = without_small_instances(true[true >= 0], labels[true >= 0], min_voxels)
        if len(true):
            values.append(metric(true, labels))
    return np.mean(values) if values else math.nan


@pytest.mark.parametrize(("semantics", "product"), [("predicted", "semantics"), ("true", "semantics_true")])
def test_every_point_of_the_grid_and_the_optimum_as_in_a_naive_loop(output, semantics, product):
    with HDF5Reader(output) as reader:
        tuning = tune(reader, events=range(5), semantics=semantics)
        events = list(reader)
    for number, (name, found) in enumerate(tuning.classes.items()):
        before = (0.33, 0.21) if name == "MIP" else PUBLISHED[name]
        assert found.before == before
        naive = np.array(
            [
                [naive_mean(events, number, (s, p), product) for p in tuning.grid.probability]
                for s in tuning.grid.seed[::2]
            ]
        )
        if number > 2:
            assert np.isnan(naive).all()
            assert (found.after, found.events) == (found.before, 0)
            continue
        np.testing.assert_array_equal(found.values[::2], naive)
        assert found.value_before == naive_mean(events, number, before, product)
        assert found.value_after == naive_mean(events, number, found.after, product)
        assert found.value_after >= max(naive.max(), found.value_before)


@pytest.mark.parametrize("metric", TUNABLE)
def test_every_metric(output, metric):
    def measure(true, labels):
        return TUNABLE[metric](contingency(true, labels))

    with HDF5Reader(output) as reader:
        found = tune(reader, events=range(3, 5), metric=metric, min_voxels=5).classes["MIP"]
        events = [reader[3], reader[4]]
    for thresholds, value in ((found.before, found.value_before), (found.after, found.value_after)):
        assert naive_mean(events, 1, thresholds, "semantics", 5, measure) == pytest.approx(value, abs=1e-13)


def test_threads_change_nothing(output):
    with HDF5Reader(output) as reader:
        one, other = (tune(reader, events=range(5), threads=threads) for threads in (1, 4))
    for name, found in one.classes.items():
        assert (found.after, found.events) == (other.classes[name].after, other.classes[name].events)
        np.testing.assert_array_equal(found.values, other.classes[name].values)


@given(st.integers(1, 400), st.integers(0, 10**6), st.floats(0.001, 0.9))
def test_labels_of_a_shorter_seed_list(voxels, seed, probability):
    embedded = EmbeddedVoxels.build(*clumped_voxels(voxels, seed)[:3])
    seeds = embedded.seeds(0.0, probability)
    lengths = np.unique(np.linspace(1, len(seeds), 5).astype(np.int64))
    labels = ClassSample(embedded, Truth.build(np.zeros(voxels, int), 0))._labels(seeds, lengths)
    for row, length in zip(labels, lengths, strict=True):
        np.testing.assert_array_equal(row, embedded.assign(seeds[:length]))


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 7)), max_size=60), st.integers(0, 4))
def test_table_equals_the_contingency_of_the_voxels_that_count(pairs, min_voxels):
    true, predicted = np.array(pairs, np.int32).reshape(-1, 2).T
    kept = without_small_instances(true[true >= 0], predicted[true >= 0], min_voxels)
    expected = contingency(*kept)
    found = Truth.build(true, min_voxels).table(np.ascontiguousarray(predicted), 8)
    for name, values in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), values)


def test_centre_of_the_largest_plateau():
    values = np.zeros((9, 9))
    values[0:2, 0:2] = 1
    values[3:8, 2:7] = 1 + 1e-12
    values[8, 8] = 0.99
    assert best_point(values) == (5, 4)
    values[5, 4] = 2
    assert best_point(values) == (5, 4)
    assert best_point(np.ones((2, 2))) == (0, 0)
    ring = np.ones((3, 3))
    ring[1, 1] = 0
    assert best_point(ring) == (0, 1)


def test_grids():
    whole = Grid.whole()
    assert (len(whole.seed), len(whole.probability)) == (21, 13)
    assert (whole.seed[-1], whole.probability[-1], whole.seed[3]) == (1.0, 0.6, 0.15)
    around = Grid.around(1.0, 0.6)
    assert (around.seed[0], around.seed[-1], around.probability[-1]) == (0.95, 1.0, 0.6)
    assert Grid.around(0.5, 0.05).probability[:6].tolist() == [0, 1e-5, 1e-4, 1e-3, 3e-3, 0.01]


def test_command_writes_thresholds_that_the_clusterer_reads(output, tmp_path, capsys):
    thresholds, numbers = tmp_path / "new" / "thresholds.yaml", tmp_path / "numbers.json"
    assert main(["tune", str(output), "--events", "1:5", "-o", str(thresholds), "--json", str(numbers)]) == 0
    with HDF5Reader(output) as reader:
        tuning = tune(reader, events=range(1, 5))
        event = reader[3]
    written = yaml.safe_load(thresholds.read_text())
    assert written == {name: one.after._asdict() for name, one in tuning.classes.items()}
    assert "events 1 to 4" in thresholds.read_text()
    document = json.loads(numbers.read_text())
    assert document["classes"]["MIP"]["after"]["value"] == tuning.classes["MIP"].value_after
    assert document["classes"]["Michel"]["after"]["value"] is None
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("MIP"))
    after = tuning.classes["MIP"].after
    assert line.split()[1:6:2] == [f"{after.seed:g}", f"{tuning.classes['MIP'].value_after:.4f}", "0.21"]
    by_path, by_value = (
        build_post_processors({"greedy_clusterer": {"thresholds": given}}, PILARNET)[0]
        for given in (str(thresholds), written)
    )
    assert by_path.thresholds == by_value.thresholds == written
    np.testing.assert_array_equal(by_path(event, PILARNET)["fragments"], by_value(event, PILARNET)["fragments"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "arii"], "no metric 'arii' to tune for; did you mean 'ari'?"),
        (["--events", "9:"], "no events 9 to the last; the file has 5, counted from 0"),
        (["--events", "x"], "argument -n/--events: expected a number such as 100 or a range such as 100:200, not 'x'"),
        (["-o", "."], ".: is a folder"),
    ],
)
def test_refused(words, message, output, capsys):
    assert main(["tune", str(output), *words]) == 2
    assert message in capsys.readouterr().err


def test_file_without_labels(output, tmp_path):
    path = tmp_path / "data.h5"
    with (
        HDF5Reader(output) as reader,
        HDF5Writer(path, {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}) as writer,
    ):
        writer.append({name: reader[0][name] for name in ("semantics", "embeddings", "margins", "seediness")})
    with HDF5Reader(path) as reader, pytest.raises(UserError, match="no product 'instances_true'; evaluation needs"):
        tune(reader, events=range(1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MPI: {seed: 1}", "no class 'MPI'; did you mean 'MIP'"),
        ("- 1", "lines such as 'MIP:"),
        ("a: b: c", "yaml:1: mapping values are not allowed here"),
        ("MIP: {seed: 2}", "seed is 2.0; it lies in"),
        (None, "no such file"),
    ],
)
def test_mistakes_in_a_thresholds_file(text, message, tmp_path):
    path = tmp_path / "thresholds.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        build_post_processors({"greedy_clusterer": {"thresholds": str(path)}}, PILARNET)
    assert f"post_processing.greedy_clusterer: thresholds file {path}" in str(caught.value)


def test_configuration_takes_a_file_beside_it(tmp_path, monkeypatch):
    from mlreco.config import load_config

    (tmp_path / "chains").mkdir()
    (tmp_path / "chains" / "thresholds.yaml").write_text("MIP: {seed: 0.25}\n")
    (tmp_path / "chains" / "my.cfg").write_text(
        "iotool: {dataset: {data_keys: [a.h5], schema: {input_data: [parse_sparse3d, sparse3d_pcluster]}}}\n"
        "model: {modules: {uresnet: {depth: 2}}, network_input: [input_data]}\n"
        "post_processing: {greedy_clusterer: {thresholds: thresholds.yaml}}\n"
    )
    monkeypatch.chdir(tmp_path)
    config = load_config(os.path.join("chains", "my.cfg"))
    (processor,) = build_post_processors(config.post_processing, PILARNET)
    assert processor.thresholds["MIP"] == {"seed": 0.25, "probability": 0.087}
    with pytest.raises(UserError, match=r"greedy_clusterer\.thresholds: expected"):
        load_config("chains/my.cfg", ["post_processing.greedy_clusterer.thresholds=3"])
