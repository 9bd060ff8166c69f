from pathlib import Path

import pytest

from mlreco.config import load_config
from mlreco.errors import UserError

CONFIG = "config/chain.cfg"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)


def test_thresholds_of_the_block_are_those_of_the_greedy_clusterer(tmp_path):
    (tmp_path / "mine.yaml").write_text("MIP: {seed: 0.5}\n")
    config = tmp_path / "mine.cfg"
    text = f"include: {Path(CONFIG).resolve()}\nmodel: {{modules: {{spice: {{thresholds: mine.yaml}}}}}}\n"
    config.write_text(text)
    found = load_config(config, ["post_processing={}"])
    assert "thresholds" not in found["model"]["modules"]["spice"]
    assert found["post_processing"]["greedy_clusterer"]["thresholds"] == str(tmp_path / "mine.yaml")


def test_thresholds_of_links_call_the_linked_clusterer():
    words = ["post_processing={greedy_clusterer: {}}", "model.modules.spice.thresholds={MIP: {voxel_distance: 9}}"]
    found = load_config(CONFIG, words)["post_processing"]
    assert {name: dict(arguments) for name, arguments in found.items()} == {
        "linked_clusterer": {"thresholds": {"MIP": {"voxel_distance": 9}}}
    }


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(UserError, match=r"spice\.thresholds: thresholds file gone\.yaml: no such file"):
        load_config(CONFIG, ["post_processing={}", "model.modules.spice.thresholds=gone.yaml"])


def test_their_classes_are_checked():
    words = ["post_processing={}", "model.modules.spice.thresholds={Showr: {seed: 0.5}}"]
    with pytest.raises(UserError, match="no such class; did you mean 'Shower'"):
        load_config(CONFIG, words)


def test_giving_both_is_refused():
    words = ["post_processing={greedy_clusterer: {thresholds: a.yaml}}", "model.modules.spice.thresholds=b.yaml"]
    with pytest.raises(UserError, match=r"spice\.thresholds: the same as post_processing\.greedy_clusterer\.thresh"):
        load_config(CONFIG, words)
