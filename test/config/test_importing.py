"""Configurations in the forms of SPINE and of chains of lartpc_mlreco3d: translated they train, with their loss."""

from pathlib import Path

import pytest
import torch
import yaml

from mlreco.cli import main
from mlreco.config import load_config
from mlreco.config.importing import import_config
from mlreco.errors import UserError
from mlreco.models.losses import SpiceLoss
from mlreco.semantics import MLRECO

GENUINE = Path(__file__).parents[1] / "iotools" / "genuine"
BACKBONE = """{num_input: 4, filters: 4, input_kernel: 5, depth: 3, reps: 1, spatial_size: 768, allow_bias: false,
        activation: {name: lrelu, negative_slope: 0.25}, norm_layer: {name: batch_norm, eps: 0.001, momentum: 0.05}}"""

SPINE_SPICE = f"""\
base: {{world_size: 0, iterations: 2, seed: 3, unwrap: false, log_dir: log_spine, log_step: 1, overwrite_log: true,
  train: {{weight_prefix: weights_spine/snapshot, save_step: 1, optimizer: {{name: Adam, lr: 0.002}}}}}}
io:
  loader:
    batch_size: 2
    shuffle: false
    num_workers: 0
    collate_fn: all
    sampler: {{name: random_sequence, seed: 0}}
    dataset:
      name: larcv
      file_keys: {{events}}
      schema:
        data: {{parser: sparse3d, sparse_event: sparse3d_pcluster}}
        seg_label: {{parser: sparse3d, sparse_event: sparse3d_pcluster_semantics}}
        clust_label:
          parser: cluster3d
          cluster_event: cluster3d_pcluster
          sparse_semantics_event: sparse3d_pcluster_semantics
          clean_data: true
          break_clusters: false
          particle_info: {{particle_event: particle_pcluster}}
  writer: {{name: hdf5, file_name: out.h5}}
model:
  name: spice
  weight_path: null
  network_input: {{data: data, seg_label: seg_label}}
  loss_input: {{clust_label: clust_label}}
  modules:
    spice:
      shapes: [shower, track, delta]
      make_clusters: true
      clusterer: {{seed_threshold: 0.1, probability_threshold: [0.5, 0.6, 0.7], min_size: 3, assign_all: true}}
      coord_conv: true
      margin_dim: 1
      seediness_dim: 1
      seed_freeze: true
      uresnet: {BACKBONE}
    spice_loss:
      mask_loss: bce_logits
      seed_loss: l1
      embedding_weight: 2.0
      seediness_weight: 0.5
      smoothing_weight: 0.25
      inter_weight: 3.0
      inter_margin: 0.3
      min_voxels: 2
post: {{stages: [{{name: direction}}]}}
"""

SPINE_UPDATED = """\
__meta__: {kind: bundle}
include: base.yaml
override:
  train.optimizer: {provider: AdamW, config: {lr: 0.004}}
  io.loader.dataset.schema.ppn_label: {provider: particle_points, sparse_event: sparse3d_pcluster}
  model.loss_input.ppn_label: ppn_label
remove: [base.train, post, model.modules.spice, model.modules.spice_loss]
train: {weight_prefix: weights_spine/snapshot, save_epoch: 1.0}
io:
  loader: {batch_size: null, minibatch_size: 2}
model:
  name: null
  provider: uresnet_ppn
  modules:
    uresnet: {num_input: 1, num_classes: 5, filters: 4, depth: 3, reps: 1,
      activation: {provider: lrelu, negative_slope: 0.1}}
    ppn: {classify_endpoints: false}
    uresnet_loss: {balance_loss: false}
    ppn_loss: {mask_loss: CE, resolution: 5.0}
"""

CHAIN = """\
iotool:
  batch_size: 2
  num_workers: 0
  collate_fn: CollateSparse
  sampler: {batch_size: 2, name: RandomSequenceSampler}
  writer: {name: HDF5Writer}
  dataset:
    name: LArCVDataset
    data_keys: [{events}]
    limit_num_files: -1
    schema:
      input_data: [parse_sparse3d_scn, sparse3d_pcluster]
      segment_label: [parse_sparse3d_scn, sparse3d_pcluster_semantics]
      cluster_label: [parse_cluster3d_clean_full, cluster3d_pcluster, particle_pcluster, sparse3d_pcluster_semantics]
      particles_label: [parse_particle_points, sparse3d_pcluster, particle_pcluster]
model:
  name: full_chain
  modules:
    chain: {enable_uresnet: True, enable_ppn: False, enable_cnn_clust: True, enable_gnn_shower: False, verbose: False}
    uresnet_ppn:
      uresnet_lonely: {num_strides: 3, filters: 4, num_classes: 5, data_dim: 3, spatial_size: 768, model_path: /x.ckpt}
      ppn: {num_strides: 3, filters: 4}
    network_base: {spatial_size: 768, data_dim: 3, features: 4, leakiness: 0.2}
    spatial_embeddings: {seediness_dim: 1, sigma_dim: 1, embedding_dim: 3, coordConv: True, model_path: ''}
    uresnet: {filters: 4, input_kernel_size: 7, num_strides: 3, reps: 1}
    fragment_clustering: {s_thresholds: [0., 0.1, 0., 0.35], p_thresholds: [0.9, 0.8, 0.7, 0.6],
      cluster_classes: [0, 1]}
    clustering_loss: {name: se_lovasz_inter, seediness_weight: 0.5, embedding_weight: 2.0, smoothing_weight: 0.25}
    grappa_shower: {base: {node_type: 0}}
    grappa_shower_loss: {node_loss: {name: primary}}
    dbscan: {epsilon: 5}
  network_input: [input_data, particles_label]
  loss_input: [segment_label, particles_label, cluster_label]
  analysis: [track_clustering]
post_processing:
  uresnet_metrics: {store_method: per-iteration}
trainval: {seed: 1, unwrapper: unwrap_3d_scn, gpus: '', weight_prefix: weights_chain/snapshot, iterations: 2,
  checkpoint_step: 1, model_path: '/y.ckpt', log_dir: log_chain, train: True, debug: False, minibatch_size: -1,
  optimizer: {name: Adam, args: {lr: 0.001}}}
"""


def with_events(text):
    return text.replace("{events}", str(GENUINE / "events.h5"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(with_events(SPINE_SPICE))
    Path("updated.yaml").write_text(SPINE_UPDATED)
    Path("chain.cfg").write_text(with_events(CHAIN))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "checkpoint"),
    [
        (["base.yaml", "--class-scheme", "pilarnet"], "weights_spine/snapshot-2.ckpt"),
        (["updated.yaml", "--without", "ppn", "--class-scheme", "pilarnet"], "weights_spine/snapshot-2.ckpt"),
        (["chain.cfg"], "weights_chain/snapshot-2.ckpt"),
    ],
)
def test_what_was_imported_trains(folder, capsys, words, checkpoint):
    assert main(["import-config", *words, "-o", "mine.cfg"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("mine.cfg: train it with")
    assert all(
        line.startswith(("mlreco: base.yaml", "mlreco: updated", "mlreco: chain")) for line in told.err.splitlines()
    )
    assert main(["train", "mine.cfg"]) == 0
    said = capsys.readouterr()
    assert checkpoint in said.out
    assert "no effect" not in said.err and "mine.cfg:" not in said.err


def values(imported):
    return yaml.safe_load(imported.text)


def test_spine_means(folder):
    config = values(import_config("base.yaml"))
    assert config["model"] == {
        "name": "chain",
        "network_input": ["data"],
        "loss_input": ["clust_label"],
        "modules": {
            "spice": {"filters": 4, "depth": 3, "reps": 1, "leakiness": 0.25, "semantics": True},
            "spice_loss": {
                "mask_loss": "bce",
                "seediness_norm": "l1",
                "mask_weight": 2.0,
                "seediness_weight": 0.5,
                "smoothing_weight": 0.25,
                "inter_weight": 3.0,
                "delta_d": 0.3,
                "skip_classes": ["Michel", "LowE"],
            },
        },
        "class_scheme": "mlreco",
    }
    thresholds = {"Shower": (0.1, 0.5), "Track": (0.1, 0.6), "Delta": (0.1, 0.7)}
    greedy = config["post_processing"]["greedy_clusterer"]
    assert {name: tuple(pair.values()) for name, pair in greedy["thresholds"].items()} == thresholds
    assert greedy["skip_classes"] == ["Michel", "LowE"] and greedy["min_voxels"] == 3
    assert config["trainval"]["freeze"] == ["spice.seediness_decoder", "spice.seediness_head"]
    assert config["trainval"]["gpus"] == "" and config["iotool"]["sampler"] == {
        "name": "RandomSequenceSampler",
        "seed": 0,
    }


def test_every_key_without_a_counterpart_is_told_once(folder):
    told = [line.split(": ")[1] for line in import_config("base.yaml").notices]
    expected = ["base.unwrap", "base.overwrite_log", "io.writer", "post", "model.class_scheme", "model.network_input"]
    expected += ["io.loader.dataset.schema.clust_label", "model.modules.spice.clusterer.assign_all"]
    expected += ["model.modules.spice_loss.min_voxels"]
    expected += [f"model.modules.spice.{key}" for key in ("num_input", "input_kernel", "spatial_size", "norm_layer")]
    assert sorted(told) == sorted(expected)


def test_classes_of_the_other_scheme(folder):
    config = values(import_config("base.yaml", "pilarnet"))
    assert config["model"]["modules"]["spice_loss"]["skip_classes"] == ["Michel"]
    thresholds = config["post_processing"]["greedy_clusterer"]["thresholds"]
    assert thresholds["HIP"] == thresholds["MIP"] == {"seed": 0.1, "probability": 0.6} and "Track" not in thresholds


def test_includes_overrides_and_removals(folder):
    config = values(import_config("updated.yaml", without=["ppn"]))
    assert config["model"]["modules"] == {"uresnet": {"filters": 4, "depth": 3, "reps": 1, "leakiness": 0.1}}
    assert config["trainval"]["optimizer"] == {"name": "AdamW", "args": {"lr": 0.004}}
    assert config["trainval"]["weight_prefix"] == "weights_spine/snapshot" and config["iotool"]["batch_size"] == 2
    assert config["model"]["loss_input"] == ["clust_label"] and "ppn_label" not in config["iotool"]["dataset"]["schema"]


def test_inline_includes_stand_in_overrides_too(folder):
    Path("network.yaml").write_text("{__meta__: {kind: fragment}, num_input: 1, filters: 6, depth: 2, reps: 1}\n")
    overridden = SPINE_UPDATED.replace("override:\n", "override:\n  model.modules.uresnet: !include network.yaml\n")
    Path("updated.yaml").write_text(
        overridden.replace("    uresnet: {num_input: 1, num_classes: 5", "    other: {a: 1")
    )
    config = values(import_config("updated.yaml", without=["ppn", "other"]))
    assert config["model"]["modules"]["uresnet"] == {"filters": 6, "depth": 2, "reps": 1}


def test_validation_of_spine(folder):
    block = "validation: {file_keys: %s, fraction: 1.0, early_stopping: {monitor: %s, mode: min, patience: 5}}\n"
    base = Path("base.yaml").read_text()
    Path("base.yaml").write_text(base + block % ("val.h5", "loss"))
    imported = import_config("base.yaml")
    assert values(imported)["trainval"]["validation"] == {"data_keys": "val.h5"}
    assert values(imported)["trainval"]["patience"] == 5
    assert sum("validation" in line for line in imported.notices) == 1  # the fraction
    Path("base.yaml").write_text(base + block % ("val.h5", "accuracy"))
    imported = import_config("base.yaml")
    assert "patience" not in values(imported)["trainval"]
    assert any("validation.early_stopping: no counterpart" in line for line in imported.notices)
    Path("base.yaml").write_text(base + block % ("null", "loss"))
    imported = import_config("base.yaml")
    assert "validation" not in values(imported)["trainval"]
    assert any("validation: names no files: set trainval.validation" in line for line in imported.notices)


def test_included_files_are_found_as_spine_finds_them(folder, monkeypatch):
    Path("config/train/generic").mkdir(parents=True)
    Path("config/model").mkdir()
    Path("base.yaml").rename("config/model/spice_v1.yaml")
    Path("config/train/generic/train.yaml").write_text("include: model/spice_v1\n")
    assert "spice" in values(import_config("config/train/generic/train.yaml"))["model"]["modules"]
    Path("elsewhere.yaml").write_text("include: spice_v1.yaml\n")
    monkeypatch.setenv("SPINE_CONFIG_PATH", f"/nowhere:{folder}/config/model")
    assert "spice" in values(import_config("elsewhere.yaml"))["model"]["modules"]


def test_chain_means(folder):
    config = values(import_config("chain.cfg"))
    loss = {"mask_loss": "lovasz_hinge", "seediness_norm": "l1", "mask_weight": 2.0, "inter_weight": 2.0}
    loss |= {"seediness_weight": 0.5, "smoothing_weight": 0.25, "skip_classes": ["LowE"]}
    assert config["model"]["modules"] == {
        "uresnet": {"filters": 4, "depth": 3},
        "spice": {"filters": 4, "depth": 3, "reps": 1, "leakiness": 0.2, "semantics": "predicted"},
        "spice_loss": loss,
    }
    greedy = config["post_processing"]["greedy_clusterer"]
    assert greedy["thresholds"]["Track"] == {"seed": 0.1, "probability": 0.8}
    assert greedy["skip_classes"] == ["Michel", "Delta", "LowE"]
    assert config["model"]["network_input"] == ["input_data"]
    assert config["model"]["loss_input"] == ["segment_label", "cluster_label"]


def test_the_total_is_that_of_lartpc_mlreco3d(folder):
    """embedding_weight (mask + inter) + seediness_weight seediness + smoothing_weight smoothing."""
    arguments = values(import_config("chain.cfg"))["model"]["modules"]["spice_loss"]
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.rand((60, 3), generator=generator) / 4
    margins, seediness = torch.rand((2, 60), generator=generator) + 0.1
    labels = torch.arange(60) % 3
    zeros = torch.zeros(60, dtype=torch.int64)
    terms = SpiceLoss(MLRECO, **arguments)(embeddings, margins, seediness, zeros, zeros, labels)
    total = 2.0 * (terms["mask"] + terms["inter"]) + 0.5 * terms["seediness"] + 0.25 * terms["smoothing"]
    assert terms["inter"] > 0 and terms["smoothing"] > 0
    torch.testing.assert_close(terms["loss"], total)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "enable_ppn: False",
            "enable_ppn: True",
            r"no such stage: ppn: needs a decoder that .*--without ppn imports the",
        ),
        ("enable_gnn_shower: False", "enable_gnn_shower: True", r"grappa_shower: needs a graph network"),
        ("name: se_lovasz_inter", "name: se_bce_ellipse", r"no loss 'se_bce_ellipse'"),
        (
            "grappa_shower: {base",
            "discriminative_loss: {base",
            r"discriminative_loss: needs an embedding in pixel space",
        ),
        ("num_classes: 5", "num_classes: 4", r"num_classes: is 4; mlreco's networks have 5 only"),
        ("clustering_loss: {name: se", "clustering_loss: {name: [se", r"chain\.cfg:\d+"),
        ("iotool:", "io_tool:", r"neither of lartpc_mlreco3d .* nor of SPINE"),
    ],
)
def test_what_is_refused_is_named(folder, old, new, message):
    Path("chain.cfg").write_text(with_events(CHAIN).replace(old, new))
    with pytest.raises(UserError, match=message):
        import_config("chain.cfg")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("modules:\n    spice:", "modules:\n    graph_spice:", r"graph_spice: needs an embedding with a kernel"),
        ("margin_dim: 1", "margin_dim: 3", r"margin_dim: is 3; mlreco's networks have 1 only"),
        ("shapes: [shower", "shapes: [showr", r"no class 'showr'; did you mean 'shower'"),
        ("mask_loss: bce_logits", "mask_loss: mse", r"no loss 'mse' in mlreco"),
        ("base:", "include: nowhere.yaml\nbase:", r"includes 'nowhere.yaml', and there is no file"),
        ("base:", "include: base.yaml\nbase:", r"includes itself"),
        ("base:", "override: {model.modules.chain.stages~: {}}\nbase:", r"changes inside named lists"),
    ],
)
def test_what_is_refused_of_spine_is_named(folder, old, new, message):
    text = with_events(SPINE_SPICE)
    assert old in text
    Path("base.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        import_config("base.yaml")


def test_a_file_that_names_no_events(folder):
    Path("base.yaml").write_text(SPINE_SPICE.replace("{events}", "null"))
    imported = import_config("base.yaml")
    assert any("names no files; 'events.h5' stands for them: say -s FILE" in line for line in imported.notices)
    Path("mine.cfg").write_text(imported.text)
    assert load_config("mine.cfg").iotool.dataset.data_keys == ["events.h5"]


STAGES = """\
__meta__: {version: "1"}
include: updated.yaml
override: {base.iterations: null, base.epochs: 2.0}
build: {mode: both, units: cm}
model:
  name: full_chain
  to_numpy: true
  weight_path: !download {url: "https://example.org/chain.ckpt", hash: "00"}
  loss_input: {seg_label: seg_label, clust_label: clust_label}
  modules:
    chain:
      stages:
      - {name: segmentation, provider: segmentation, uses: uresnet_ppn, loss: uresnet_ppn_loss, config: {mode: uresnet}}
      - {name: fragmentation, provider: fragmentation, uses: graph_spice, loss: graph_spice_loss}
    uresnet_ppn:
      uresnet: {num_input: 1, num_classes: 5, filters: 4, depth: 3, reps: 1, norm_layer: {provider: batch_norm}}
      ppn: {classify_endpoints: false}
    uresnet_ppn_loss: {uresnet_loss: {balance_loss: false}, ppn_loss: {resolution: 5.0}}
    graph_spice: {shapes: [track], embedder: {uresnet: {num_input: 4, filters: 4, depth: 3}}}
    graph_spice_loss: {name: edge}
    grappa_inter: {nodes: {source: group}}
remove: [model.modules.uresnet, model.modules.ppn, model.modules.uresnet_loss, model.modules.ppn_loss]
"""

FLAT = """\
iotool:
  batch_size: 2
  dataset:
    data_dirs: [{folder}]
    data_key: eve
    schema:
      input_data: [parse_sparse3d_scn, sparse3d_pcluster]
      cluster_labels: [parse_cluster3d_clean_full, cluster3d_pcluster, particle_pcluster, sparse3d_pcluster_semantics]
      ppn_labels: [parse_particle_points, sparse3d_pcluster, particle_pcluster]
model:
  name: full_chain
  modules:
    uresnet_lonely: {num_strides: 3, filters: 4, num_classes: 5, data_dim: 3, ghost: False, features: 1}
    ppn: {num_strides: 3, filters: 4, num_classes: 5}
    network_base: {spatial_size: 768, data_dim: 3, features: 4, leakiness: 0.33}
    spatial_embeddings: {seediness_dim: 1, sigma_dim: 1, embedding_dim: 3, coordConv: True}
    uresnet: {filters: 4, input_kernel_size: 7, num_strides: 3, reps: 1}
    clustering_loss: {name: se_lovasz_inter, seediness_weight: 1.0, embedding_weight: 1.0, smoothing_weight: 1.0}
    particle_gnn: {node_type: 0}
    particle_edge_model: {name: modular_nnconv}
    full_chain: {merge_batch: False}
  network_input: [input_data]
  loss_input: [cluster_labels, ppn_labels]
training: {seed: 1, learning_rate: 0.002, gpus: '', weight_prefix: w/snapshot, iterations: 1, report_step: 1,
  checkpoint_step: 1, log_dir: log, model_path: '', train: True, debug: False, minibatch_size: -1}
"""


def test_a_chain_of_named_stages(folder):
    Path("stages.yaml").write_text(STAGES)
    with pytest.raises(
        UserError, match=r"graph_spice: needs .*grappa_inter: needs .*ppn: needs .*imports the rest: uresnet"
    ):
        import_config("stages.yaml")
    imported = import_config("stages.yaml", without=["ppn", "graph_spice", "grappa"])
    config = values(imported)
    assert config["model"]["modules"] == {"uresnet": {"filters": 4, "depth": 3, "reps": 1}}
    assert config["trainval"]["epochs"] == 2.0 and not config["trainval"].get("model_path")
    assert any("weights of another program cannot be loaded" in line for line in imported.notices)
    Path("mine.cfg").write_text(imported.text)
    assert load_config("mine.cfg").notices == ()


def test_a_chain_whose_networks_stand_side_by_side(folder):
    Path("flat.cfg").write_text(FLAT.replace("{folder}", str(GENUINE)))
    with pytest.raises(
        UserError, match=r"ppn: needs .*particle_gnn, particle_edge_model: needs .*the rest: uresnet, spice"
    ):
        import_config("flat.cfg")
    imported = import_config("flat.cfg", without=["ppn", "particle_gnn", "particle_edge_model"])
    Path("mine.cfg").write_text(imported.text)
    config = load_config("mine.cfg")
    assert set(config["model"]["modules"]) == {"uresnet", "spice", "spice_loss"}
    assert config.trainval.optimizer.args == {"lr": 0.002}
    assert config["iotool"]["dataset"]["data_keys"]
