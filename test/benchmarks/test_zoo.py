"""The card of a shipped chain: which commands make it, and what it says."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

import mlreco
from benchmarks.zoo import __main__ as zoo
from benchmarks.zoo import published, readme, runs
from mlreco import shipped
from mlreco.checkpoints.metadata import Metadata, read_metadata
from mlreco.cli import main
from mlreco.semantics import PILARNET

SUMMARY = {"purity": 0.97, "efficiency": 0.96, "ari": 0.8765}


def evaluation(product):
    """What ``mlreco evaluate --json`` writes, as far as the card reads it."""
    classes = {name: dict(SUMMARY) for name in PILARNET.classes}
    classes["Delta"]["ari"] = None
    scores = {name: {"precision": 0.9, "recall": 0.8, "iou": 0.7} for name in PILARNET.classes}
    return {
        "classes": classes,
        "all": {**SUMMARY, "ari": 0.9 if product == "instances" else 0.7},
        "intervals_68": {"MIP": {"ari": [0.8, 0.95]}},
        "segmentation": {"accuracy": 0.98765, "classes": scores},
        "corrected_classes": {"accuracy": 0.99123, "classes": scores},
        "found": {"classes": {name: {"true": 40, "found": 30} for name in PILARNET.classes}},
        "failures": {"broken tracks": [{}, {}], "merged showers": []},
        "baselines": {"dbscan": {"classes": classes, "all": {**SUMMARY, "ari": 0.5}}},
    }


@pytest.fixture
def commands(monkeypatch):
    """The commands that are given, none of which runs; ``evaluate`` writes its numbers."""
    given = []

    def mlreco(*words):
        words = [str(word) for word in words]
        given.append(words)
        if words[0] == "evaluate":
            text = json.dumps(evaluation(words[words.index("--product") + 1]))
            with open(words[words.index("--json") + 1], "w") as file:
                file.write(text)

    monkeypatch.setattr(runs, "mlreco", mlreco)
    return given


@pytest.mark.parametrize("chain", ["thin", "fat"])
def test_the_card_tells_weights_classes_and_instances(chain, commands, tmp_path):
    words = [chain, "--tune", "tune.h5", "--test", "test.h5", "--out", str(tmp_path)]
    zoo.main(words)
    card = (tmp_path / f"{chain}.md").read_text()
    assert f"**uresnet_spice** (`{chain}.ckpt`" in card and f"**grappa** (`grappa_{chain}.ckpt`" in card
    data = read_metadata(zoo.WEIGHTS / f"{chain}.ckpt").data
    assert "on NVIDIA H100" in card and f"{data.events} events of" in card
    assert "0.9912 of the voxels have the right class; 0.9877 before the graph" in card
    assert card.count("| found by the chain | 0.750 | 0.750 |") == 2
    assert card.count("0.876 (0.800 to 0.950)") + card.count("0.877 (0.800 to 0.950)") == 6
    assert "| - |" in card and "broken tracks in 2, merged showers in 0" in card
    numbers = json.loads((tmp_path / f"{chain}.json").read_text())
    assert numbers["predicted"]["graph"]["all"]["ari"] == 0.9
    assert numbers["true"]["dbscan"]["all"]["ari"] == 0.5


def test_thresholds_are_tuned_on_the_one_file_and_numbers_come_from_the_other(commands, tmp_path):
    zoo.main(["thin", "--tune", "tune.h5", "--test", "test.h5", "--out", str(tmp_path)])
    tuned = {words[words.index("-o") + 1]: words for words in commands if words[0] == "tune"}
    assert {name.split("_")[-1] for name in tuned} == {
        "graph.yaml",
        "true.yaml",
        "linked.yaml",
        "greedy.yaml",
        "dbscan.yaml",
    }
    assert all("tune_" in words[1] for words in tuned.values())
    assert all("tune" not in words[1] for words in commands if words[0] in ("evaluate", "recluster"))
    for semantics in ("true", "predicted"):
        stages = [f"model.modules.{stage}.semantics={semantics}" for stage in ("uresnet_spice", "fragmenter")]
        assert [words for words in commands if words[0] == "inference" and set(stages) <= set(words)]


def test_the_method_of_the_paper_stands_beside_the_chain_in_true_classes(commands, tmp_path):
    text = (zoo.ROOT / "config" / "spice.cfg").read_text(encoding="utf-8")
    include = f"include: [{zoo.ROOT}/config/include/pilarnet_events.cfg, {zoo.ROOT}/config/include/"
    told = Metadata(config=text.replace("include: [include/pilarnet_events.cfg, include/", include))
    checkpoint = tmp_path / "paper.ckpt"
    torch.save({"state_dict": {}, "metadata": told.model_dump_json()}, checkpoint)
    words = ["thin", "--tune", "tune.h5", "--test", "test.h5", "--out", str(tmp_path), "--paper", str(checkpoint)]
    zoo.main(words)
    numbers = json.loads((tmp_path / "thin.json").read_text())
    assert "paper" in numbers["true"] and "paper" not in numbers["predicted"]
    card = (tmp_path / "thin.md").read_text()
    assert "32 filters, depth 6, lovasz_hinge. It saw 32 x 0 = 0 events" in card
    assert card.count("the SPICE paper's network, loss and rule") == 1
    assert "the paper's network" not in readme.table(tmp_path)
    again = ["thin", "--tune", "tune.h5", "--test", "test.h5", "--out", str(tmp_path)]
    zoo.main(again)
    assert (tmp_path / "thin.md").read_text() == card, "what was measured of the paper's method stays"
    zoo.main([*again[:4], "other.h5", *again[5:]])
    assert "the SPICE paper's network, loss and rule" not in (tmp_path / "thin.md").read_text(), "but not for others"
    runs_of_it = [words for words in commands if words[:2] == ["inference", str(checkpoint)]]
    assert [words[words.index("-s") + 1] for words in runs_of_it] == ["tune.h5", "test.h5"]


def test_published_events_are_compared_with_the_spread_of_simulated_ones(tmp_path):
    class Output:
        def graph_thresholds(self, semantics):
            return semantics

        def reconstruct(self, events, semantics, thresholds, chosen=None, *, particles):
            assert semantics == thresholds == "predicted" and particles
            output = tmp_path / f"{events.stem}.h5"
            assert main(["inference", "thin", "-s", str(events), "-o", str(output), "-n", chosen or "4"]) == 0
            return output

    events = shipped.sample("sample")
    found = published.compare(Output(), events, "2", events)
    with mlreco.open(tmp_path / f"{events.stem}.h5") as output:
        event = output[0]
        assert len(output) == 4
    instances, counts = np.unique(event.instances_true, return_counts=True)
    large = np.isin(event.instances_true, instances[(counts >= 10) & (instances >= 0)])
    expected = adjusted_rand_score(event.instances_true[large], event.instances[large])
    assert list(found["events"]) == ["event 0", "event 1"]
    assert found["events"]["event 0"]["instances"] == pytest.approx(expected)
    for kind in ("instances", "groups"):
        low, high = found["simulated"][kind]["spread"]
        assert low <= found["simulated"][kind]["mean"] <= high


def test_instances_of_a_group_count_as_one():
    table = np.array([(4,), (-1,), (4,), (0,), (-1,)], [("group", np.int64)])
    event = {"instances_true": np.array([0, 2, 1, 1, 3, 4, -1]), "particles_true": table}
    found = published.groups(event)
    assert found[0] == found[1] == 4 and found[6] == -1
    assert len(np.unique(found)) == 6 - 1 and found[2] == found[3]
    event["instances_true"] = np.array([5, 0, 6])
    assert len(np.unique(published.groups(event))) == 3, "instances beyond the table are their own"
    nothing = {"instances_true": np.full(2, -1), "particles_true": table[:0]}
    assert (published.groups(nothing) == -1).all()


def test_thresholds_that_are_there_can_be_kept(commands, tmp_path):
    for name in ("graph", "linked", "greedy"):
        (tmp_path / f"thin_{name}.yaml").write_text("{}\n")
    zoo.main(["thin", "--tune", "tune.h5", "--test", "test.h5", "--out", str(tmp_path), "--keep-tuned"])
    tuned = [words[words.index("-o") + 1] for words in commands if words[0] == "tune"]
    assert tuned == [str(tmp_path / "thin_graph_true.yaml"), str(tmp_path / "thin_dbscan.yaml")]


def test_the_table_of_readme_is_that_of_the_numbers(commands, tmp_path):
    for chain in ("thin", "fat"):
        zoo.main([chain, "--tune", "tune.h5", "--test", "test.h5", "--out", str(tmp_path)])
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}old\n{readme.END}after\n")
    readme.update(page, tmp_path)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| | thin, predicted classes | thin, true classes | fat, predicted classes | fat, true classes |" in text
    assert "| the chain | 0.900 | 0.900 | 0.900 | 0.900 |" in text


def test_readme_has_the_numbers_of_today():
    assert readme.table(zoo.WEIGHTS) in (zoo.ROOT / "README.md").read_text(encoding="utf-8")
