import itertools
import json

import numpy as np
import pytest
import yaml

from mlreco.cli import main
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.post_processing import LinkedClusterer
from mlreco.post_processing.contingency import without_small_instances
from mlreco.post_processing.link_thresholds import SHIPPED
from mlreco.post_processing.metrics import adjusted_rand_index
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
        means = []
        for point in itertools.product(*small_grid):
            values = []
            for event in events:
                rows = event[product] == number
                labels = LinkedClusterer(*point).fit_predict(event["coordinates"][rows], event["embeddings"][rows])
                true = event["instances_true"][rows]
                true, labels = without_small_instances(true[true >= 0], labels[true >= 0], 10)
                if len(true):
                    values.append(adjusted_rand_index(true, labels))
            means.append(np.mean(values) if values else np.nan)
        np.testing.assert_allclose(one.values.ravel(), means, rtol=0, atol=1e-12)
        if np.isnan(means).all():
            assert one.events == 0
            assert one.thresholds == SHIPPED[name]
        else:
            assert one.mean == pytest.approx(max(means))
            assert one.thresholds == pytest.approx(list(itertools.product(*small_grid))[int(np.argmax(means))])


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
