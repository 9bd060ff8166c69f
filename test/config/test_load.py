"""Includes, overrides, old and new forms of the field's configurations, numbers, paths."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mlreco.config import load_config, parse_config
from mlreco.errors import UserError


def test_defaults_are_filled_in(write, load):
    config = load(write())
    assert config.trainval.train is True
    assert config.trainval.iterations is None
    assert config.trainval.gpus == ""
    assert config.iotool.collate_fn == "CollateSparse"
    assert config.model.class_scheme == "pilarnet"
    assert "event_list" not in config.iotool.dataset
    assert config.path == Path("my.cfg")


def test_include_is_merged_deeply_and_the_file_wins(write, load, text):
    write(text, "base/one.cfg")
    write("trainval: {seed: 1, report_step: 7}", "base/two.cfg")
    path = write("include: [base/one.cfg, base/two.cfg]\ntrainval: {seed: 2}\nmodel: {modules: {net: {filters: 8}}}")
    config = load(path)
    assert (config.trainval.seed, config.trainval.report_step) == (2, 7)
    assert config.model.modules.net == {"depth": 3, "filters": 8}
    assert config.iotool.dataset.data_keys == ["events.h5"]


def test_arguments_go_with_the_parser_or_class_that_they_belong_to(write, load, text):
    write(text, "base.cfg")
    other = "include: base.cfg\niotool: {dataset: {schema: {segment_label: %s}}}\ntrainval: {optimizer: %s}"
    path = write(
        other % ("{parser: parse_sparse3d_scn, args: {sparse_event: sparse3d_a}}", "{name: SGD, args: {momentum: 0.9}}")
    )
    config = load(path)
    assert config.iotool.dataset.schema["segment_label"].args == {"sparse_event": "sparse3d_a"}
    assert config.trainval.optimizer.args == {"momentum": 0.9}

    same = load(write(other % ("{args: {sparse_event: sparse3d_a}}", "{name: Adam, args: {weight_decay: 0.1}}")))
    label = same.iotool.dataset.schema["segment_label"]
    assert label.args == {"sparse_event_list": ["sparse3d_semantics"], "sparse_event": "sparse3d_a"}
    assert same.trainval.optimizer.args == {"lr": 0.001, "weight_decay": 0.1}


def test_include_within_an_include_is_relative_to_the_including_file(write, load, text):
    write(text, "a/b/deep.cfg")
    write("include: b/deep.cfg", "a/middle.cfg")
    assert load(write("include: a/middle.cfg")).iotool.batch_size == 4


def test_include_cycle_of_two(write, load):
    write("include: my.cfg", "other.cfg")
    with pytest.raises(UserError, match=r"^other\.cfg:1: include: 'my\.cfg' includes itself$"):
        load(write("include: other.cfg"))


def test_the_same_base_twice_is_no_cycle(write, load, text):
    write(text, "base.cfg")
    write("include: base.cfg", "left.cfg")
    write("include: base.cfg", "right.cfg")
    assert load(write("include: [left.cfg, right.cfg]")).iotool.batch_size == 4


def test_base_lies_under_the_file(write, load, text):
    config = load(write(text), base={"trainval": {"seed": 5, "optimizer": {"name": "SGD"}}})
    assert config.trainval.seed == 5
    assert config.trainval.optimizer.name == "Adam"


def test_overrides_apply_in_order_and_parse_yaml(write, load):
    overrides = ["trainval.seed=1", "trainval.seed=2", "trainval.optimizer.args={lr: 5e-3, betas: [0.8, 0.9]}"]
    config = load(write(), [*overrides, "iotool.dataset.data_keys.0=other.h5", "trainval.gpus="])
    assert config.trainval.seed == 2
    assert config.trainval.optimizer.args == {"lr": 0.005, "betas": [0.8, 0.9]}
    assert config.iotool.dataset.data_keys == ["other.h5"]
    assert config.trainval.gpus == ""


@pytest.mark.parametrize("number", ["1e-3", "1E-3", ".1e-2", "1.e-3", "+1e-3", "10e-4", "0.001"])
def test_floats_that_yaml_reads_as_text(number, write, load, text):
    assert load(write(text.replace("lr: 0.001", f"lr: {number}"))).trainval.optimizer.args.lr == pytest.approx(1e-3)


@pytest.mark.parametrize("word", ["e5", "1e", "v1e5", "1e5x"])
def test_words_stay_words(word, write, load):
    assert load(write(), [f"trainval.log_dir={word}"]).trainval.log_dir == word


def test_whole_float_is_an_integer(write, load):
    iterations = load(write(), ["trainval.iterations=1e5"]).trainval.iterations
    assert iterations == 100000
    assert isinstance(iterations, int)


def test_merge_keys_and_anchors_do_not_share_values(write, load, text):
    shared = text.replace("net: {depth: 3}", "net: &net {depth: 3}\n    other: {<<: *net, name: net}")
    config = load(write(shared), ["model.modules.other.depth=4"])
    assert (config.model.modules.net.depth, config.model.modules.other.depth) == (3, 4)


@pytest.mark.parametrize(
    ("written", "gpus"), [("''", ""), ("'0'", "0"), ("0", "0"), ("'0,1'", "0,1"), ("[0, 1]", "0,1"), ("~", "")]
)
def test_gpus(written, gpus, write, load):
    assert load(write(), [f"trainval.gpus={written}"]).trainval.gpus == gpus


def test_one_file_as_text_and_file_keys(write, load, text):
    config = load(write(text.replace("data_keys: [events.h5]", "file_keys: events.h5")))
    assert config.iotool.dataset.data_keys == ["events.h5"]
    assert "file_keys" not in config.iotool.dataset


def test_data_dirs_and_data_key(write, load, text):
    folders = text.replace("data_keys: [events.h5]", "data_dirs: [one, two]\n    data_key: train_512px")
    assert load(write(folders)).iotool.dataset.data_keys == ["one/*train_512px*", "two/*train_512px*"]


def test_event_list_as_text(write, load, text):
    listed = text.replace("schema:", "event_list: '[6436, 562]'\n    schema:")
    assert load(write(listed)).iotool.dataset.event_list == [6436, 562]


def test_collate_section(write, load, text):
    sectioned = text.replace("  batch_size: 4\n", "  batch_size: 4\n  collate: {collate_fn: CollateSparse}\n", 1)
    assert load(write(sectioned)).iotool.collate_fn == "CollateSparse"


def test_collate_boundaries_are_refused(write, load):
    with pytest.raises(UserError, match=r"collate\.boundaries is not supported; only collate\.collate_fn is$"):
        load(write(), ["iotool.collate={collate_fn: CollateSparse, boundaries: []}"])


def test_freeze_weight_of_the_field(write, load):
    config = load(write(), ["model.modules.net.freeze_weight=true"])
    assert config.model.modules.net == {"depth": 3, "freeze_weights": True}


def test_old_learning_rate(write, load, text):
    old = text.replace("optimizer: {name: Adam, args: {lr: 0.001}}", "learning_rate: 0.5")
    assert load(write(old)).trainval.optimizer == {"name": "Adam", "args": {"lr": 0.5}}


def test_keys_without_effect_are_told(write, load, text):
    config = load(write(text.replace("trainval:\n", "trainval:\n  unwrapper: unwrap_3d_scn\n  debug: false\n")))
    assert config.notices[1:] == (
        "my.cfg:19: trainval.debug: no effect in mlreco, ignored",
        "my.cfg:18: trainval.unwrapper: no effect in mlreco, ignored",
    )
    assert "unwrapper" not in config.trainval


def test_analysis_section_is_left_alone(write, load, text):
    assert "analysis" not in load(write(text + "analysis: {anything: [goes]}\n"))


def test_override_of_the_batch_size_holds_for_the_sampler(write, load):
    assert "batch_size" not in load(write(), ["iotool.batch_size=2"]).iotool.sampler
    assert load(write()).iotool.sampler.batch_size == 4


def test_sources_replace_every_form_of_files(write, load, text):
    folders = text.replace("data_keys: [events.h5]", "data_dirs: [one]\n    data_key: x\n    limit_num_files: 1")
    dataset = load(write(folders), sources=["a.h5", Path("b.h5")]).iotool.dataset
    assert dataset.data_keys == ["a.h5", "b.h5"]
    assert "limit_num_files" not in dataset


def test_text_reads_back_as_the_same_configuration(write, load, text):
    write(text, "base.cfg")
    config = load(write("include: base.cfg"), ["trainval.seed=9"], sources=["x.h5"])
    assert "include" not in config.text
    write(config.text, "again.cfg")
    assert load("again.cfg") == config


def test_parse_config(text):
    with pytest.raises(UserError, match=r"^saved\.ckpt:13: model\.modules\.net: no model 'net'"):
        parse_config(text, "saved.ckpt")


FIELD = """\
iotool:
  batch_size: 128
  shuffle: False
  num_workers: 4
  collate_fn: CollateSparse
  sampler:
    batch_size: 128
    name: RandomSequenceSampler
  dataset:
    name: LArCVDataset
    data_keys:
      - /sdf/train.h5
    limit_num_files: 10
    schema:
      input_data:
        - parse_sparse3d_scn
        - sparse3d_pcluster
      segment_label:
        - parse_sparse3d_scn
        - sparse3d_pcluster_semantics
      cluster_label:
        parser: parse_cluster3d_clean_full
        args:
          cluster_event: cluster3d_pcluster
          particle_event: particle_pcluster
          sparse_semantics_event: sparse3d_pcluster_semantics
model:
  name: chain
  modules:
    uresnet:
      freeze_weight: True
      model_path: ''
      filters: 32
      depth: 5
      reps: 2
  network_input:
    - input_data
  loss_input:
    - segment_label
trainval:
  seed: 123
  unwrapper: unwrap_3d_mink
  concat_result: ['seediness', 'margins']
  gpus: ''
  weight_prefix: ./weights_trash/snapshot
  iterations: 30000
  report_step: 1
  checkpoint_step: 500
  log_dir: ./log_trash
  model_path: ''
  train: True
  debug: False
  minibatch_size: -1
  optimizer:
    name: Adam
    args:
      lr: 0.001
"""


def test_a_configuration_as_the_field_writes_it(write):
    config = load_config(write(FIELD))
    assert config.model.modules.uresnet.freeze_weights is True
    assert config.trainval.iterations == 30000
    scheme, *ignored = [notice.split(": ")[1] for notice in config.notices]
    assert scheme == "model.class_scheme is not given"
    assert ignored == [f"trainval.{key}" for key in ("concat_result", "debug", "minibatch_size", "unwrapper")]


class TestPaths:
    """Input files: beside the file that names them, beside the main file, in the working directory."""

    @pytest.fixture
    def config(self, write, load, text):
        with_weights = text.replace("depth: 3", "depth: 3, model_path: weights.ckpt")

        def call(*files, main="chains/my.cfg"):
            for file in files:
                write("", file)
            write(with_weights, "chains/include/base.cfg")
            return load(write("include: include/base.cfg", main))

        return call

    def test_beside_the_included_file(self, config):
        found = config("chains/include/weights.ckpt", "chains/weights.ckpt", "weights.ckpt")
        assert found.model.modules.net.model_path == "chains/include/weights.ckpt"

    def test_beside_the_main_file(self, config):
        found = config("chains/weights.ckpt", "weights.ckpt")
        assert found.model.modules.net.model_path == "chains/weights.ckpt"

    def test_in_the_working_directory(self, config):
        assert config("weights.ckpt").model.modules.net.model_path == "weights.ckpt"

    def test_events_and_globs(self, config, load, write, text):
        assert config("chains/events.h5").iotool.dataset.data_keys == ["chains/events.h5"]
        path = write(text.replace("[events.h5]", "['*.h5', no*.h5]"), "chains/my.cfg")
        assert load(path).iotool.dataset.data_keys == ["chains/*.h5", "no*.h5"]

    def test_thresholds_for_either_classes(self, load, write, text):
        for name in ("a.yaml", "b.yaml"):
            write("", f"chains/{name}")
        apart = "{predicted_classes: a.yaml, true_classes: b.yaml}"
        found = load(write(text.replace("{HIP: {seed: 0.5}}", apart), "chains/x.cfg"))
        assert found.post_processing.cut.thresholds == {
            "predicted_classes": "chains/a.yaml",
            "true_classes": "chains/b.yaml",
        }

    def test_override_is_relative_to_the_working_directory(self, config, load, write, text):
        write("", "chains/a.h5")
        assert load(write(text, "chains/x.cfg"), sources=["a.h5"]).iotool.dataset.data_keys == ["a.h5"]

    def test_what_is_stored_is_found_from_any_folder(self, load, write, text, tmp_path, monkeypatch):
        for name in ("chains/a.yaml", "here.h5", "train_1.h5"):
            write("", name)
        path = write(text.replace("{HIP: {seed: 0.5}}", "{true_classes: a.yaml}"), "chains/x.cfg")
        elsewhere = ["train_*.h5", "here.h5", "no.h5", "no*.h5", "https://host/a?b=1"]
        text = load(path, sources=elsewhere).text
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        Path("again.cfg").write_text(text)
        stored = load("again.cfg")
        folder = str(tmp_path)
        files = [f"{folder}/train_*.h5", f"{folder}/here.h5", *elsewhere[2:]]
        assert stored.iotool.dataset.data_keys == files
        assert stored.post_processing.cut.thresholds["true_classes"] == f"{folder}/chains/a.yaml"


class TestImmutability:
    """Nothing that gets a configuration can change it for the others."""

    def test_every_way_to_change_is_refused(self, write, load):
        config = load(write())
        changes = [
            lambda: config.update(a=1),
            lambda: config.trainval.__setitem__("seed", 3),
            lambda: setattr(config.trainval, "seed", 3),
            lambda: config.trainval.pop("seed"),
            lambda: config.iotool.dataset.data_keys.append("x"),
            lambda: config.model.network_input.sort(),
            lambda: config.iotool.__delitem__("dataset"),
            lambda: setattr(config, "text", ""),
        ]
        before = config.to_dict()
        for change in changes:
            with pytest.raises(TypeError, match="cannot be changed"):
                change()
        assert config == before

    def test_copies_are_free(self, write, load):
        config = load(write())
        copy = config.iotool.to_dict()
        copy["dataset"]["data_keys"].append("x")
        copy["batch_size"] = 1
        assert config.iotool.dataset.data_keys == ["events.h5"]
        assert config.iotool.batch_size == 4

    def test_pickle(self, write, load):
        config = load(write())
        back = pickle.loads(pickle.dumps(config))
        assert (back, back.text, back.path) == (config, config.text, config.path)
        assert back.trainval.optimizer.args.lr == 0.001

    def test_base_is_not_changed(self, write, load):
        base = {"trainval": {"optimizer": {"args": {}}}}
        load(write(), base=base)
        assert base == {"trainval": {"optimizer": {"args": {}}}}

    def test_misspelt_attribute(self, write, load):
        with pytest.raises(AttributeError, match="no configuration key 'sead'; did you mean 'seed'"):
            _ = load(write()).trainval.sead
        assert not hasattr(load(write()).trainval, "sead")


SHIPPED = sorted((Path(__file__).parents[2] / "config").glob("*.cfg"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configuration_is_valid(path):
    config = load_config(path)
    made_first = {"fragments.h5"}  # by another command, as the head of grappa.cfg says
    assert all(Path(file).exists() for file in config.iotool.dataset.get("data_keys", []) if file not in made_first)


def test_reading_a_configuration_does_not_import_the_readers_libraries():
    code = "import sys, mlreco.config; sys.exit('torch' in sys.modules or 'h5py' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
