import json

import numpy as np
import pytest
import sklearn.cluster
import sklearn.metrics
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.post_processing import GreedyClusterer
from mlreco.post_processing.baselines import BASELINES, evaluate_baselines, read_baseline_values
from mlreco.post_processing.baselines.components import joined_components
from mlreco.post_processing.baselines.density import absorb_noise
from mlreco.post_processing.baselines.published_greedy import published_greedy
from mlreco.post_processing.evaluation.evaluate import evaluate
from mlreco.post_processing.tuning import tune, tune_baseline
from mlreco.semantics import PILARNET


def make_event(voxels, seed):
    rng = np.random.default_rng(seed)
    centres = rng.integers(5, 60, (6, 3))
    instances = rng.integers(0, 6, voxels)
    coordinates = centres[instances] + rng.integers(-4, 5, (voxels, 3))
    embeddings = (centres[instances] / 32 - 1 + rng.normal(0, 0.05, (voxels, 3))).astype(np.float32)
    return {
        "coordinates": coordinates.astype(np.int32),
        "embeddings": embeddings,
        "margins": rng.uniform(0.1, 0.2, voxels).astype(np.float32),
        "seediness": rng.random(voxels).astype(np.float32),
        "semantics_true": (instances % 2).astype(np.int8),
        "semantics": (instances % 2).astype(np.int8),
        "instances_true": instances.astype(np.int32),
        "fragments": instances.astype(np.int32),
    }


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    path = tmp_path_factory.mktemp("baselines") / "output.h5"
    with HDF5Writer(path, {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}) as writer:
        for seed, voxels in enumerate((300, 0, 1, 240)):
            writer.append(make_event(voxels, seed))
    return path


def slow_mean(path, number, eps):
    """Mean ARI of scikit-learn's DBSCAN over events, from loops over instances."""
    values = []
    with HDF5Reader(path) as reader:
        for event in reader:
            rows = event["semantics"] == number
            if not rows.any():
                continue
            labels = sklearn.cluster.DBSCAN(eps=eps, min_samples=1).fit_predict(event["coordinates"][rows])
            true = event["instances_true"][rows]
            kept = np.array([np.sum(true == instance) >= 10 for instance in true])
            if kept.any():
                values.append(sklearn.metrics.adjusted_rand_score(true[kept], labels[kept]))
    return np.mean(values)


@given(
    st.lists(st.tuples(*[st.integers(0, 25)] * 3), min_size=1, max_size=80),
    st.sampled_from([0.7, 1.0, 1.5, 1.999, 2.5, 3.0, 7.0, 40.0]),
)
def test_components_are_those_of_dbscan(points, eps):
    points = np.array(points)
    expected = sklearn.cluster.DBSCAN(eps=eps, min_samples=1).fit_predict(points)
    np.testing.assert_array_equal(joined_components(points, eps), expected)


@pytest.mark.parametrize("eps", [0.02, 0.1, 0.3])
def test_components_of_points_off_the_grid(eps):
    points = np.random.default_rng(0).normal(0, 0.5, (2000, 3))
    expected = sklearn.cluster.DBSCAN(eps=eps, min_samples=1).fit_predict(points)
    np.testing.assert_array_equal(joined_components(points, eps), expected)


def test_components_of_nothing():
    assert len(joined_components(np.empty((0, 3)), 1.0)) == 0


def test_noise_goes_to_the_nearest_cluster():
    points = np.array([[0.0], [1], [1.2], [5], [6]])
    np.testing.assert_array_equal(absorb_noise(points, np.array([-1, 0, 0, -1, 1])), [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(absorb_noise(points, np.full(5, -1)), np.zeros(5))


def test_original_rule_agrees_where_nothing_underflows():
    event = make_event(400, 5)
    arrays = [event[name] for name in ("embeddings", "margins", "seediness")]
    for thresholds in ((0.0, 0.1), (0.5, 0.3), (0.9, 0.5)):
        ours = GreedyClusterer(*thresholds).fit_predict(*arrays)
        assert sklearn.metrics.adjusted_rand_score(ours, published_greedy(*arrays, *thresholds)) > 0.99


def test_original_rule_sends_far_voxels_to_the_first_seed():
    embeddings = np.array([[0.0, 0, 0], [2, 0, 0], [3.5, 0, 0]])
    margins, seediness = np.full(3, 0.1), np.array([0.9, 0.8, 0.1])
    assert published_greedy(embeddings, margins, seediness, 0.5, 0.5).tolist() == [0, 1, 0]
    assert GreedyClusterer(0.5, 0.5).fit_predict(embeddings, margins, seediness).tolist() == [0, 1, 1]


def test_original_rule_leaves_unseeded_voxels_and_ends_at_zero_seediness():
    points = np.zeros((3, 3))
    assert published_greedy(points, np.ones(3), np.full(3, 0.2), 0.5, 0.5).tolist() == [-1, -1, -1]
    assert published_greedy(points, np.ones(3), np.zeros(3), 0.0, 0.5).tolist() == [-1, -1, -1]
    assert published_greedy(np.empty((0, 3)), np.empty(0), np.empty(0), 0.0, 0.5).tolist() == []


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_on_separate_clumps(name, output):
    with HDF5Reader(output) as reader:
        found = evaluate_baselines(reader, [name], given={"dbscan": {"HIP": 3, "MIP": 3}}, events=range(1, 4))[name]
    values = found.summary(0)
    assert found.fragments == name
    assert (values["events"], values["true_instances"]) == (1, 3)
    assert values["efficiency"] > 0.5


def test_dbscan_means_and_optimum_as_in_a_slow_loop(output):
    with HDF5Reader(output) as reader:
        tuning = tune_baseline(reader, "dbscan", events=range(4))
        evaluation = evaluate_baselines(reader, ["dbscan"], given={"dbscan": tuning.values()})["dbscan"]
    candidates = BASELINES["dbscan"].candidates
    for number, name in enumerate(("HIP", "MIP")):
        found = tuning.classes[name]
        assert found.events == 2
        np.testing.assert_allclose(found.means, [slow_mean(output, number, eps) for eps in candidates], atol=1e-12)
        assert found.mean == found.means.max()
        assert evaluation.summary(number)["ari"] == pytest.approx(found.mean)
    assert tuning.values()["Michel"] == 1.999


def test_commands(output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", str(output), "--baseline", "dbscan", "--json", "tuning.json"]) == 0
    values = read_baseline_values(["dbscan.yaml"])
    assert json.loads((tmp_path / "tuning.json").read_text())["classes"]["HIP"]["value"] == values["dbscan"]["HIP"]
    words = ["--baselines", "dbscan,greedy_original", "--baseline-values", "dbscan.yaml", "--events", "3:"]
    capsys.readouterr()
    assert main(["evaluate", str(output), *words, "--json", "numbers.json"]) == 0
    document = json.loads((tmp_path / "numbers.json").read_text())
    with HDF5Reader(output) as reader:
        own = evaluate(reader, events=[3]).to_dict()
        other = evaluate_baselines(reader, ["dbscan"], given=values, events=range(3, 4))["dbscan"]
    assert document["classes"] == own["classes"]
    assert document["baselines"]["dbscan"] == other.to_dict()
    lines = capsys.readouterr().out.splitlines()
    dbscan = next(line for line in lines if line.strip().startswith("dbscan")).split()
    assert dbscan[3] == f"{other.summary(0)['ari']:.4f}"


def test_greedy_with_other_thresholds(output, tmp_path):
    path = tmp_path / "thresholds.yaml"
    path.write_text("HIP: {seed: 0.9, probability: 0.0}\n")
    with HDF5Reader(output) as reader:
        found = evaluate_baselines(reader, ["greedy", "greedy_original"], thresholds=str(path))
        tuned = tune(reader, events=range(4)).classes["MIP"]
        plain = evaluate_baselines(reader, ["greedy"])["greedy"]
    assert all(one.summary(0)["pred_instances"] == 2 for one in found.values())
    assert plain.summary(1)["ari"] == pytest.approx(tuned.value_before)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune", "{file}", "--baseline", "dbskan"], "no baseline 'dbskan'; did you mean 'dbscan'?"),
        (["tune", "{file}", "--baseline", "greedy_original"], "has nothing to tune"),
        (["evaluate", "{file}", "--baselines", "dbscan,x"], "no baseline 'x'; valid: dbscan"),
        (["evaluate", "{file}", "--baseline-values", "no.yaml"], "no.yaml: no such file"),
    ],
)
def test_refused(words, message, output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([word.format(file=output) for word in words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dbskan": {}}, "no baseline 'dbskan'; did you mean 'dbscan'"),
        ({"greedy_original": {"MIP": 1}}, "takes thresholds"),
        ({"dbscan": 2}, "dbscan is 2; class names and numbers are needed"),
        ({"dbscan": {"MIP": -1}}, "dbscan of MIP is -1; a number above 0 is needed"),
        ([1], "lines such as 'dbscan:"),
    ],
)
def test_mistakes_in_a_file_of_values(values, message, tmp_path):
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=message):
        read_baseline_values([path])


def test_unknown_class_in_values(output):
    with HDF5Reader(output) as reader, pytest.raises(UserError, match="did you mean 'MIP'"):
        evaluate_baselines(reader, ["dbscan"], given={"dbscan": {"MPI": 2}})
