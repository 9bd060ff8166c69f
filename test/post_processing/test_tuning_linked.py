import itertools
import json

import numpy as np
import pytest
import yaml

from mlreco.cli import main
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.post_processing import LinkedClusterer
from mlreco.post_processing.contingency import without_small_instances
from mlreco.post_processing.metrics import adjusted_rand_index
from mlreco.post_processing.settings.link_thresholds import SHIPPED
from mlreco.post_processing.tuning import linked_search, tune_linked
from mlreco.semantics import PILARNET


def make_event(voxels, seed):
    """Tracks whose embeddings drift along them, a few of which touch."""
    rng = np.random.default_rng(seed)
    instances = rng.integers(0, 5, voxels)
    starts, directions = rng.integers(0, 40, (5, 3)), rng.normal(size=(5, 3))
    along = rng.uniform(0, 30, voxels)
    drift = 0.02 * along[:, None] * directions[instances]
    return {
        "coordinates": np.round(100 + starts[instances] + along[:, None] * directions[instances]).astype(np.int32),
        "embeddings": (starts[instances] / 20 + drift + rng.normal(0, 0.05, (voxels, 3))).astype(np.float32),
        "semantics": rng.integers(-1, 3, voxels).astype(np.int8),
        "semantics_true": rng.integers(-1, 3, voxels).astype(np.int8),
        "instances_true": np.where(rng.random(voxels) < 0.1, -1, instances).astype(np.int32),
    }


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    path = tmp_path_factory.mktemp("tuning") / "output.h5"
    with HDF5Writer(path, {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}) as writer:
        for seed, voxels in enumerate((260, 0, 1, 150)):
            writer.append(make_event(voxels, seed))
    return path


@pytest.fixture
def small_grid(monkeypatch):
    grid = linked_search.GRID._replace(
        voxel_distance=(2.5, 12.0), embedding_distance=(0.1, 10.0), join_distance=(0.0, 0.1, 0.4), min_voxels=(1, 5, 6)
    )
    monkeypatch.setattr(linked_search, "GRID", grid)
    return grid


def mean_of(events, product, number, point):
    """Mean over events of the ARI of one class with some thresholds."""
    values = []
    for event in events:
        rows = event[product] == number
        labels = LinkedClusterer(*point).fit_predict(event["coordinates"][rows], event["embeddings"][rows])
        true = event["instances_true"][rows]
        true, labels = without_small_instances(true[true >= 0], labels[true >= 0], 10)
        if len(true):
            values.append(adjusted_rand_index(true, labels))
    return np.mean(values) if values else np.nan


@pytest.mark.parametrize("semantics", ["predicted", "true"])
def test_means_are_those_of_the_clusterer_run_for_every_point(output, small_grid, semantics):
    product = {"predicted": "semantics", "true": "semantics_true"}[semantics]
    with HDF5Reader(output) as reader:
        events = [reader[index] for index in range(len(reader))]
        found = tune_linked(reader, events=range(4), semantics=semantics)
        single = tune_linked(reader, events=range(4), semantics=semantics, threads=1)
    for number, name in enumerate(PILARNET.classes):
        one = found.classes[name]
        np.testing.assert_array_equal(one.values, single.classes[name].values)
        means = [mean_of(events, product, number, point) for point in itertools.product(*small_grid)]
        np.testing.assert_allclose(one.values.ravel(), means, rtol=0, atol=1e-12)
        if np.isnan(means).all():
            assert one.events == 0
            assert one.thresholds == one.before == SHIPPED[name]
            continue
        own = mean_of(events, product, number, SHIPPED[name])
        assert one.before == SHIPPED[name]
        assert one.mean_before == pytest.approx(own)
        assert one.mean == pytest.approx(max(*means, own))
        best = list(itertools.product(*small_grid))[int(np.argmax(means))]
        assert one.thresholds == pytest.approx(best if max(means) > own else SHIPPED[name])


def test_command_writes_a_file_that_the_post_processor_reads(output, small_grid, tmp_path, capsys):
    thresholds, numbers = tmp_path / "linked.yaml", tmp_path / "linked.json"
    words = ["tune", str(output), "--clusterer", "linked", "-o", str(thresholds), "--json", str(numbers)]
    assert main(words) == 0
    assert "linked: highest mean ari over events 0 to 3" in capsys.readouterr().out
    written = yaml.safe_load(thresholds.read_text())
    assert set(written) == set(PILARNET.classes)
    document = json.loads(numbers.read_text())
    assert document["classes"]["MIP"]["mean"] == pytest.approx(np.max(document["classes"]["MIP"]["grid_values"]))
    assert document["classes"]["Michel"]["mean"] is None
    from mlreco.post_processing.factories import build_post_processors

    (processor,) = build_post_processors({"linked_clusterer": {"thresholds": str(thresholds)}}, PILARNET)
    assert processor.thresholds == written


@pytest.fixture
def clustered(output, tmp_path):
    """Make a file that says by which clusterer and with which thresholds it was made."""

    def make(post_processor, thresholds):
        info = {"class_scheme": "pilarnet", "classes": list(PILARNET.classes), "post_processors": [post_processor]}
        path = tmp_path / f"{post_processor}.h5"
        with HDF5Reader(output) as reader, HDF5Writer(path, {**info, "thresholds": json.dumps(thresholds)}) as writer:
            for event in reader:
                writer.append(event)
        return path

    return make


def test_the_clusterer_of_the_file_is_tuned_and_nothing_worse_is_recommended(
    clustered, small_grid, tmp_path, capsys, monkeypatch
):
    best = {"MIP": {"voxel_distance": 12.0, "embedding_distance": 0.1, "join_distance": 0.1, "min_voxels": 5.0}}
    path = clustered("linked_clusterer", best)
    thresholds = tmp_path / "out.yaml"
    worse = small_grid._replace(
        voxel_distance=(0.5,), embedding_distance=(0.001,), join_distance=(0.0,), min_voxels=(1,)
    )
    monkeypatch.setattr(linked_search, "GRID", worse)
    assert main(["tune", str(path), "-o", str(thresholds)]) == 0
    said = capsys.readouterr()
    assert "ari after" in said.out and "ari before" in said.out
    assert "no point of the grid is better than the thresholds before: " in said.out
    assert f"mlreco recluster {path} -o NEW.h5 --thresholds {thresholds}" in said.out
    written = yaml.safe_load(thresholds.read_text())
    assert written["MIP"] == best["MIP"]
    assert main(["tune", str(path), "--clusterer", "greedy", "-o", str(thresholds)]) == 2
    assert "no product 'margins'" in capsys.readouterr().err


def test_ends_of_the_grid_and_terms_that_are_off_are_told(clustered, small_grid, tmp_path, capsys, monkeypatch):
    path = clustered("linked_clusterer", {"HIP": {"voxel_distance": 0.1, "embedding_distance": 0.0001}})
    grid = linked_search.LinkThresholds((2.5,), (10.0,), (0.0,), (1,))
    monkeypatch.setattr(linked_search, "GRID", grid)
    assert main(["tune", str(path), "-o", str(tmp_path / "out.yaml")]) == 0
    said = capsys.readouterr().out
    assert "HIP: voxel_distance 2.5 is an end of its grid" in said
    assert "HIP: embedding_distance 10: links in space alone, the embedding parts nothing" in said
    assert "HIP: join_distance 0: pieces are not joined" in said
    assert "HIP: min_voxels 1: no piece is given to a larger one" in said


def test_a_file_of_another_clusterer_is_not_tuned_in_silence(clustered, capsys, tmp_path):
    path = clustered("dbscan", {})
    assert main(["tune", str(path), "-o", str(tmp_path / "out.yaml")]) == 2
    assert "was clustered by dbscan; say --clusterer greedy, linked or graph" in capsys.readouterr().err
    assert not (tmp_path / "out.yaml").exists()
