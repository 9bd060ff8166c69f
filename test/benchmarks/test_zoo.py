"""The card of a shipped chain: which commands make it, and what it says."""

import json

import pytest

from benchmarks.zoo import __main__ as zoo
from benchmarks.zoo import readme, runs
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
    assert "on NVIDIA H100" in card and "13200 events of" in card
    assert "0.9877 of the voxels have the right class" in card
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
    assert "| thin, predicted classes | the chain | 0.876 | 0.876 | 0.876 | - | 0.876 | 0.900 |" in text
    assert text.index("| thin, true classes | DBSCAN |") < text.index("| fat, predicted classes | the chain |")


def test_readme_has_the_numbers_of_today():
    assert readme.table(zoo.WEIGHTS) in (zoo.ROOT / "README.md").read_text(encoding="utf-8")
