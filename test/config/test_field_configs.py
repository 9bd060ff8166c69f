"""Configurations in the forms of lartpc_mlreco3d: they train as they are, and what has no effect is told by key."""

import csv
from pathlib import Path

import pytest

from mlreco.cli import main
from mlreco.config import load_config
from mlreco.errors import UserError

GENUINE = Path(__file__).parents[1] / "iotools" / "genuine"

DICTIONARY_FORM = """\
iotool:
  batch_size: 3
  shuffle: False
  num_workers: 0
  collate_fn: CollateSparse
  sampler:
    batch_size: 3
    name: RandomSequenceSampler
  dataset:
    name: LArCVDataset
    data_keys:
      - {events}
    limit_num_files: 4
    schema:
      input_data:
        parser: parse_sparse3d
        args:
          sparse_event_list:
            - sparse3d_pcluster
      segment_label:
        parser: parse_sparse3d
        args:
          sparse_event_list:
            - sparse3d_pcluster_semantics
model:
  name: uresnet
  modules:
    uresnet_lonely:
      num_classes: 5
      filters: 4
      depth: 3
      reps: 1
      spatial_size: 768
      activation:
        name: lrelu
        args:
          negative_slope: 0.2
      allow_bias: False
      weight_loss: False
      norm_layer:
        name: batch_norm
        args:
          eps: 0.001
          momentum: 0.05
  network_input:
    - input_data
  loss_input:
    - segment_label
trainval:
  seed: 7
  unwrapper: unwrap_3d_mink
  concat_result: ['segmentation', 'points']
  gpus: ''
  weight_prefix: ./weights_field/snapshot
  iterations: 2
  report_step: 1
  checkpoint_step: 500
  log_dir: ./log_field
  train: True
  debug: False
  minibatch_size: -1
  optimizer:
    name: Adam
    args:
      lr: 0.002
"""

LIST_FORM = """\
iotool:
  batch_size: 2
  minibatch_size: -1
  shuffle: False
  num_workers: 0
  collate_fn: CollateSparse
  sampler:
    name: RandomSequenceSampler
  dataset:
    name: LArCVDataset
    data_dirs:
      - {folder}
    data_key: {key}
    limit_num_files: 1
    schema:
      input_data:
        - parse_sparse3d_scn
        - sparse3d_pcluster
      segment_label:
        - parse_sparse3d_scn
        - sparse3d_pcluster_semantics
      cluster_label:
        - parse_cluster3d_clean_full
        - cluster3d_pcluster
        - particle_pcluster
        - sparse3d_pcluster_semantics
model:
  name: spice
  modules:
    spice:
      network_base:
        spatial_size: 512
        data_dim: 3
        features: 4
        leakiness: 0.33
      uresnet:
        filters: 4
        num_strides: 3
        reps: 1
        input_kernel_size: 7
      spatial_embeddings:
        seediness_dim: 1
        coordConv: True
      fragment_clustering:
        s_thresholds: [0.0, 0.3]
      semantics: true
    spice_loss:
      name: se_lovasz_inter
      mask_loss_fn: lovasz_hinge
      seediness_weight: 0.5
      embedding_weight: 2.0
      smoothing_weight: 0.25
      min_voxels: 2
      skip_classes: [4]
  network_input:
    - input_data
  loss_input:
    - segment_label
    - cluster_label
training:
  seed: -1
  learning_rate: 0.001
  gpus: ''
  weight_prefix: weights_field/snapshot
  iterations: 2
  report_step: 1
  checkpoint_step: 1
  log_dir: log_field
  model_path: ''
  train: True
  debug: False
"""


def dictionary_form(events):
    return DICTIONARY_FORM.replace("{events}", str(events))


def list_form(events):
    return LIST_FORM.replace("{folder}", str(events.parent)).replace("{key}", events.name)


@pytest.mark.parametrize("events", ["larcv2.root", "larcv2_2018.root", "events.h5"])
@pytest.mark.parametrize("form", [dictionary_form, list_form])
def test_two_iterations(tmp_path, monkeypatch, capsys, form, events):
    if events.endswith("root"):
        pytest.importorskip("uproot")
    monkeypatch.chdir(tmp_path)
    Path("field.cfg").write_text(form(GENUINE / events))
    code = main(["field.cfg"])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert said.out == "last checkpoint: weights_field/snapshot-2.ckpt\n"
    (log,) = Path("log_field").glob("*.csv")
    with open(log, newline="") as file:
        assert [row["iter"] for row in csv.DictReader(file)] == ["1", "2"]
    assert "error" not in said.err and said.err.count("mlreco: field.cfg:") >= 5


def told(config):
    return [notice.split(": ")[1] for notice in config.notices[1:]]


def test_dictionary_form_means(tmp_path):
    (tmp_path / "field.cfg").write_text(dictionary_form("events.h5"))
    config = load_config(tmp_path / "field.cfg")
    assert config.model.name == "uresnet"
    assert config.model.modules == {"uresnet": {"filters": 4, "depth": 3, "reps": 1, "leakiness": 0.2}}
    idle = ["spatial_size", "norm_layer"]
    ignored = [*(f"model.modules.uresnet.{key}" for key in idle), "trainval.concat_result", "trainval.debug"]
    assert told(config) == [*ignored, "trainval.minibatch_size", "trainval.unwrapper"]
    assert config.notices[0].endswith(
        "model.class_scheme is not given: 'pilarnet' (0 HIP, 1 MIP, 2 Shower, 3 Delta, 4 Michel)"
    )
    assert ":33: model.modules.uresnet.spatial_size: no effect in mlreco, ignored" in config.notices[1]


def test_list_form_means(tmp_path):
    (tmp_path / "field.cfg").write_text(list_form(tmp_path / "events.h5"))
    config = load_config(tmp_path / "field.cfg")
    spice = {"filters": 4, "depth": 3, "reps": 1, "leakiness": 0.33, "semantics": True}
    loss = {"mask_loss": "lovasz_hinge", "seediness_norm": "l1", "seediness_weight": 0.5, "mask_weight": 2.0}
    loss |= {"inter_weight": 2.0, "smoothing_weight": 0.25, "skip_classes": ["Michel"]}
    assert config.model.modules == {"spice": spice, "spice_loss": loss}
    assert config.trainval.seed == -1 and config.trainval.optimizer == {"name": "Adam", "args": {"lr": 0.001}}
    idle = ("fragment_clustering", "spatial_embeddings", "spatial_size", "features", "input_kernel_size")
    assert told(config) == [
        *(f"model.modules.spice.{key}" for key in idle),
        "model.modules.spice_loss.min_voxels",
        "trainval.debug",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_classes: 5", "num_classes: 4", "modules.uresnet.num_classes: is 4; mlreco's networks have 5 only"),
        ("allow_bias: False", "allow_bias: True", "allow_bias: is True; mlreco's networks have False only"),
        ("name: lrelu", "name: relu", "activation.name: is 'relu'; mlreco's networks have 'lrelu' only"),
        ("spatial_size: 768", "spatial_sze: 768", "uresnet.spatial_sze: unknown key; valid: class_offsets, depth"),
        ("uresnet_lonely:", "uresnet_lonly:", "no model 'uresnet_lonly'"),
        (
            "  network_input:",
            "    ppn: {}\n    grappa_shower: {}\n  network_input:",
            "ppn, model.modules.grappa_shower: ml",
        ),
    ],
)
def test_what_is_refused_is_named(tmp_path, old, new, message):
    (tmp_path / "field.cfg").write_text(dictionary_form("events.h5").replace(old, new))
    with pytest.raises(UserError, match=r"field\.cfg:[0-9]+: ") as caught:
        load_config(tmp_path / "field.cfg")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limit_num_files: 4", "limit_num_files: -1"),
        ("limit_num_files: 4", "limit_num_files: 4\n    skip_event_list: '[1, 3]'"),
        ("  unwrapper:", "  restore_optimizer: False\n  unwrapper:"),
        ("CollateSparse", "CollateMinkowski"),
        ("    schema:", "    schema:\n      points: [parse_particle_points, sparse3d_pcluster, particle_pcluster]"),
        ("    schema:", "    schema:\n      graph: {parser: parse_particle_graph, args: {particle_event: particle_x}}"),
    ],
)
def test_keys_of_public_files_are_known(tmp_path, old, new):
    (tmp_path / "field.cfg").write_text(dictionary_form("events.h5").replace(old, new))
    config = load_config(tmp_path / "field.cfg")
    assert set(config.iotool.dataset.schema) == {"input_data", "segment_label"}


def test_what_is_left_out_of_the_schema_is_told(tmp_path):
    points = "    schema:\n      points: [parse_particle_points, sparse3d_pcluster, particle_pcluster]"
    text = dictionary_form("events.h5").replace("    schema:", points)
    (tmp_path / "field.cfg").write_text(text)
    said = [line for line in load_config(tmp_path / "field.cfg").notices if "schema.points" in line]
    assert said == [
        f"{tmp_path}/field.cfg:15: iotool.dataset.schema.points: parse_particle_points makes true points for PPN; "
        "mlreco has no such parser, left out"
    ]
    (tmp_path / "field.cfg").write_text(text.replace("    - segment_label", "    - segment_label\n    - points"))
    with pytest.raises(UserError, match=r"no such parser, and model\.loss_input names it"):
        load_config(tmp_path / "field.cfg")


def test_one_stage_under_two_names(tmp_path):
    text = dictionary_form("events.h5").replace("    uresnet_lonely:", "    uresnet: {filters: 8}\n    uresnet_lonely:")
    (tmp_path / "field.cfg").write_text(text)
    with pytest.raises(UserError, match=r":29: model.modules.uresnet_lonely: another name of the stage 'uresnet'"):
        load_config(tmp_path / "field.cfg")
