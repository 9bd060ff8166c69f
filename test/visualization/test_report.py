import json
import re

import numpy as np
import pytest
from memory_events import MemoryReader, make_event
from plotly.offline import get_plotlyjs

from mlreco.post_processing import evaluate
from mlreco.post_processing.evaluation.failures import find_failures
from mlreco.post_processing.evaluation.tables import event_tables
from mlreco.visualization import report, report_figures, write_report
from mlreco.visualization.encoding import decode
from mlreco.visualization.figure_traces import box_statistics
from mlreco.visualization.instance_extent import event_extents, instance_extents
from mlreco.visualization.report_events import choose_events
from mlreco.visualization.report_tables import threshold_table

N_EVENTS = 8


def report_page(reader, evaluation, browser=None, **options):
    chosen, failures = report.chosen_and_failures(reader, evaluation, **options)
    return report.report_page(reader, evaluation, chosen, failures, browser)


@pytest.fixture(scope="module")
def sample():
    events = [make_event(n_voxels=200 + 40 * i, n_instances=6 + i % 3, number=i, seed=i) for i in range(N_EVENTS)]
    events[3]["fragments"][:] = np.arange(len(events[3]["fragments"])) % 4
    thresholds = {"HIP": {"seed": 0.65, "probability": 0.29}, "MIP": {"seed": 0.5, "probability": 0.087}}
    return MemoryReader(events, thresholds=json.dumps(thresholds))


@pytest.fixture(scope="module")
def evaluation(sample):
    return evaluate(sample)


@pytest.fixture(scope="module")
def page(sample, evaluation):
    return report_page(sample, evaluation, n_random=2, n_worst=2, seed=0)


def element(page, name):
    text = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)[1]
    return json.loads(text)


def cells(page):
    text = re.sub(r"</t[dh]>", "|", page.replace(get_plotlyjs(), ""))
    return re.sub(r"<[^>]*>", "", text)


def test_the_page_has_all_figures_and_fetches_nothing(page):
    assert set(element(page, "figures")) == {"confusion", "metrics", "margins", "counts", "boxes", "times"}
    ours = page.replace(get_plotlyjs(), "")
    assert not re.search(r"https?:|@import|url\(|\ssrc=|\shref=", ours)


def test_tables_hold_the_numbers_of_the_evaluation(page, evaluation):
    text = cells(page)
    for number, name in enumerate(evaluation.classes):
        summary = evaluation.summary(number)
        numbers = [f"{summary[key]:.4f}" for key in ("purity", "efficiency", "ari", "ari_multi", "ami", "sbd")]
        assert f"{name}|{'|'.join(numbers)}|{summary['events']}|{summary['events_multi']}|" in text.replace(
            "&ndash;", "nan"
        )
        counts = evaluation.rows["true_instances"][evaluation.rows["class"] == number]
        assert f"{name}|{counts.sum()}|{len(counts)}|{counts.mean():.1f} &plusmn; {counts.std():.1f}|" in text
    assert "HIP|0.65|0.29|" in text


def test_the_worst_event_of_every_kind_of_failure_is_told_and_shown(page, sample, evaluation):
    failures = find_failures(event_tables(sample), evaluation.classes)
    assert any(failures.values())
    text = cells(page)
    for kind, found in failures.items():
        assert f"{kind}|{len(found)}|{sum(one.voxels for one in found):,}|" in text
        if found:
            assert f"{kind}, {found[0].class_name}: {found[0].voxels:,} voxels" in text


def test_thresholds_of_the_graph_clusterer_have_a_table():
    values = {"merge": -2.0, "attach": -20.0, "small": 15.0}
    text = cells(threshold_table({"thresholds": json.dumps({"HIP": values, "MIP": {"merge": 1, "own": 2.5}})}))
    assert "merge, log-odds|give away, log-odds|small below, voxels|own|" in text
    assert "HIP|-2|-20|15|&ndash;|" in text
    assert "MIP|1|&ndash;|&ndash;|2.5|" in text


def test_thresholds_of_the_linked_clusterer_have_a_table():
    values = {"voxel_distance": 12.0, "embedding_distance": 0.1, "join_distance": 0.25, "min_voxels": 7.0}
    text = cells(threshold_table({"thresholds": json.dumps({"HIP": values, "MIP": values})}))
    assert "link, voxels|link, embedding|join, embedding|least voxels|" in text
    assert "MIP|12|0.1|0.25|7|" in text


def test_metric_histograms_sum_to_one(evaluation):
    figure = report_figures.metric_distributions(evaluation)
    assert len(figure["data"]) == 15
    for trace in figure["data"]:
        assert np.log10(min(filter(None, trace["y"]))) >= figure["layout"]["yaxis"]["range"][0]
        assert sum(height or 0 for height in trace["y"][::2]) == pytest.approx(1)
        assert len(trace["x"]) == len(trace["y"])


def test_counts_matrix_against_a_loop():
    random = np.random.default_rng(0)
    true, predicted = random.integers(1, 9, 50), random.integers(1, 9, 50)
    matrix = report_figures.counts_matrix(true, predicted, 6)
    for t in range(1, 7):
        chosen = [min(p, 6) for n, p in zip(true, predicted, strict=True) if min(n, 6) == t]
        assert matrix[:, t - 1].tolist() == pytest.approx([chosen.count(p) / len(chosen) for p in range(1, 7)])
    assert report_figures.counts_matrix(true[:0], predicted[:0], 3).tolist() == np.zeros((3, 3)).tolist()


def test_box_statistics_leave_outliers_out():
    box = box_statistics(np.array([0.0, 4, 5, 6, 7, 8, 30]))
    assert box == {"q1": 4.5, "median": 6, "q3": 7.5, "lowerfence": 0, "upperfence": 8}
    assert set(box_statistics(np.array([0.5])).values()) == {0.5}


def test_boxes_stand_at_the_true_numbers_of_instances(evaluation):
    figure = report_figures.metrics_against_counts(evaluation)
    assert len(figure["data"]) == 15
    chosen = evaluation.rows["class"] == 0
    assert figure["data"][0]["x"] == np.unique(evaluation.rows["true_instances"][chosen]).tolist()


def test_extents_against_a_loop():
    event = make_event()
    names = ("coordinates", "margins", "semantics_true", "instances_true")
    classes, extents, margins = event_extents(*(event[name] for name in names), 10)
    assert len(classes) == 6
    for number in range(6):
        member = event["instances_true"] == number
        points = event["coordinates"][member].astype(float)
        distances = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1))
        row = np.flatnonzero(np.isclose(extents, distances.std()))
        assert len(row) == 1
        assert margins[row[0]] == pytest.approx(event["margins"][member].mean(dtype=float))
        assert classes[row[0]] == number % 5


def test_small_instances_and_voxels_without_one_have_no_extent():
    coordinates, margins = np.zeros((12, 3), np.int32), np.ones(12, np.float32)
    instances = np.array([0] * 9 + [-1] * 3)
    classes, _, _ = event_extents(coordinates, margins, np.zeros(12, int), instances, 10)
    assert len(classes) == 0


def test_extents_need_margins(sample):
    bare = MemoryReader([{"coordinates": np.zeros((0, 3), np.int32)}])
    assert instance_extents(bare, 10) is None
    assert len(instance_extents(sample, 10).classes) == sum(len(np.unique(e["instances_true"])) for e in sample.events)


def test_times_of_all_events_are_in_the_histograms():
    times = np.random.default_rng(0).lognormal(-1, 2, (70, 3))
    figure = report_figures.time_histograms(times, ("io", "network", "post_processing"))
    assert [sum(trace["y"]) for trace in figure["data"]] == [70, 70, 70]
    assert figure["layout"]["annotations"][1]["text"] == f"<b>network: mean {times[:, 1].mean():.3g} s</b>"


def test_the_worst_event_is_chosen_and_none_twice(evaluation):
    chosen = choose_events(evaluation, n_random=3, n_worst=1, seed=1)
    events = [item.event for item in chosen]
    assert 3 in events
    assert len(events) == len(set(events))
    assert sum("random" in item.reason for item in chosen) == 3
    assert chosen == choose_events(evaluation, n_random=3, n_worst=1, seed=1)


def test_pictures_show_every_voxel_of_their_event(page, sample, evaluation):
    chosen = choose_events(evaluation, 2, 2, 0)
    documents = element(page, "events")
    assert len(documents) == len(chosen) == page.count('class="pictures"')
    for document, item in zip(documents, chosen, strict=True):
        assert np.array_equal(decode(document["voxels"]["x"]), sample.events[item.event]["coordinates"][:, 0])
        assert [scene["space"] for scene in document["scenes"]] == 3 * ["image"] + 2 * ["embedding"]


def test_a_report_without_margins_embeddings_and_times(sample):
    hidden = ("margins", "embeddings", "times")
    events = [{name: value for name, value in event.items() if name not in hidden} for event in sample.events]
    reader = MemoryReader(events)
    page = report_page(reader, evaluate(reader), n_random=1, n_worst=0, seed=0)
    assert set(element(page, "figures")) == {"confusion", "metrics", "counts", "boxes"}


def test_a_report_of_nothing_but_empty_events():
    event = make_event()
    empty = {name: value[:0] if len(value) == 300 else value for name, value in event.items()}
    reader = MemoryReader([empty, empty])
    page = report_page(reader, evaluate(reader), n_random=2, n_worst=2, seed=0)
    assert set(element(page, "figures")) == {"times"}


def test_the_report_is_written_whole(sample, evaluation, tmp_path):
    path = tmp_path / "report.html"
    write_report(sample, evaluation, path, n_random=1, n_worst=0)
    browser = report.browser_path(path)
    page = path.read_text(encoding="utf-8")
    assert page == report_page(sample, evaluation, browser.name, n_random=1, n_worst=0, seed=0)
    links = re.findall(rf'href="{browser.name}#(\d+)"', page)
    assert links
    assert all(f'id="event-{number}"' in browser.read_text(encoding="utf-8") for number in links)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report_events.html"]
