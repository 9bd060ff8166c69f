"""A graph network that gets new features: its scores stay as they are, and it can learn from the new columns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mlreco.checkpoints.file import read_checkpoint, write_checkpoint
from mlreco.config import load_config
from mlreco.graph_batch import join_graphs
from mlreco.inference.fragment_cache import cache_fragments
from mlreco.iotools.output.graphs import FragmentReader
from mlreco.models.grappa.stage import Grappa
from mlreco.post_processing.fragment_graph.link_features import LINK_FEATURES
from mlreco.post_processing.fragment_graph.node_features import node_feature_names
from mlreco.semantics import PILARNET

ROOT = Path(__file__).parents[2]
NEW = {"node": ("beside_track", "log_gap_to_track"), "link": ("same_track",)}
NAMES = {"node": node_feature_names(PILARNET), "link": LINK_FEATURES}


@pytest.fixture(scope="module")
def fragments(tmp_path_factory):
    path = tmp_path_factory.mktemp("fragments") / "fragments.h5"
    cache_fragments(load_config(ROOT / "config/thin.cfg", ["iotool.dataset.entry_range=[0,3]"]), path)
    return path


@pytest.fixture
def network():
    """A network that pays no heed to the new features."""
    torch.manual_seed(0)
    network = Grappa(PILARNET, width=16, link_width=8, rounds=1).eval()
    for kind, names in NEW.items():
        scale, layer = getattr(network.rounds, f"{kind}_encoder")[:2]
        scale.mean += torch.randn(len(scale.mean))
        scale.deviation *= 1 + torch.rand(len(scale.mean))
        layer.weight.data[:, [NAMES[kind].index(name) for name in names]] = 0
    return network


def of_older_features(network):
    """Return its state without the columns of the new features."""
    state = {f"stages.grappa.{name}": values.clone() for name, values in network.state_dict().items()}
    state["stages.grappa.feature_version"] -= 1
    for kind, names in NEW.items():
        kept = [column for column, name in enumerate(NAMES[kind]) if name not in names]
        for end in ("0.mean", "0.deviation", "1.weight"):
            key = f"stages.grappa.rounds.{kind}_encoder.{end}"
            state[key] = state[key][..., kept]
    return state


def widen(tool, monkeypatch, checkpoint, output, fragments, *, nodes=NEW["node"], links=NEW["link"]):
    options = ["--graphs", str(fragments), "--nodes", *nodes, "--links", *links]
    monkeypatch.setattr("sys.argv", ["widen_graph", str(checkpoint), str(output), *options])
    return tool("widen_graph").main()


def test_scores_stay_and_new_columns_are_scaled_and_learn(tool, tmp_path, monkeypatch, network, fragments):
    old, wide = tmp_path / "old.ckpt", tmp_path / "wide.ckpt"
    write_checkpoint(old, {"state_dict": of_older_features(network), "iteration": 5})
    assert widen(tool, monkeypatch, old, wide, fragments) == 0
    content = read_checkpoint(wide)
    assert content["iteration"] == 5
    again = Grappa(PILARNET, width=16, link_width=8, rounds=1).eval()
    state = {name.removeprefix("stages.grappa."): values for name, values in content["state_dict"].items()}
    again.check_state(state, str(wide))
    again.load_state_dict(state)
    reader = FragmentReader(fragments)
    graphs = [reader.graph(event, "fragments") for event in range(len(reader))]
    batch = {"fragment_graph": join_graphs(graphs)}
    wanted, found = network(batch)["graph_logits"], again(batch)["graph_logits"]
    for name, values in found.items():
        torch.testing.assert_close(values, wanted[name], rtol=0, atol=0, msg=name)
    rows = np.concatenate([one.graph.links for one in graphs]).astype(np.float64)
    column, scale = LINK_FEATURES.index("same_track"), again.rounds.link_encoder[0]
    assert float(scale.mean[column]) == pytest.approx(rows[:, column].mean(), rel=1e-5)
    assert float(scale.deviation[column]) == pytest.approx(rows[:, column].std(), rel=1e-5)
    found["instance"].sum().backward()
    assert again.rounds.link_encoder[1].weight.grad[:, column].abs().max() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": ["log_gap_to_muon"]}, "--nodes log_gap_to_muon: no such feature; there are log_voxels, "),
        ({"links": []}, f"knows {len(LINK_FEATURES) - 1} features of its link_encoder, {len(LINK_FEATURES)} are not"),
    ],
)
def test_features_that_do_not_fit_are_refused(tool, tmp_path, monkeypatch, capsys, network, fragments, change, message):
    old, wide = tmp_path / "old.ckpt", tmp_path / "wide.ckpt"
    write_checkpoint(old, {"state_dict": of_older_features(network)})
    assert widen(tool, monkeypatch, old, wide, fragments, **change) == 2
    assert message in capsys.readouterr().err
    assert not wide.exists()


def test_weights_without_a_graph_network_are_refused(tool, tmp_path, monkeypatch, capsys, fragments):
    old = tmp_path / "old.ckpt"
    write_checkpoint(old, {"state_dict": {"w": torch.zeros(3)}})
    assert widen(tool, monkeypatch, old, tmp_path / "wide.ckpt", fragments) == 2
    assert "has no 'node_encoder'; it is no chain with grappa" in capsys.readouterr().err
