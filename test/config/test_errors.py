"""Every mistake in a configuration is one line: place, key, what would be right."""

import re

import pytest

from mlreco.errors import UserError

OVERRIDES = {
    "iotool.batchsize=3": "iotool.batchsize: unknown key; did you mean 'batch_size'?",
    "iotool.batch_size=x": "iotool.batch_size: expected an integer, not 'x'",
    "iotool.batch_size=true": "iotool.batch_size: expected an integer, not true",
    "iotool.batch_size=2.5": "iotool.batch_size: expected an integer, not 2.5",
    "iotool.batch_size=0": "iotool.batch_size: expected at least 1, not 0",
    "iotool.minibatch_size=5": ("iotool: minibatch_size is 5 and batch_size 4: expected -1, or 1 to batch_size"),
    "iotool.shuffle=1": "iotool.shuffle: expected true or false, not 1",
    "iotool.dataset=~": "iotool.dataset: expected a section of keys and values, not nothing",
    "iotool.dataset.data_keys=[1]": "iotool.dataset.data_keys.0: expected a text, not 1",
    "iotool.dataset.data_keys=[]": "iotool.dataset.data_keys: expected at least 1 of them, not an empty list",
    "iotool.dataset.limit_num_file=1": "iotool.dataset.limit_num_file: unknown key; did you mean 'limit_num_files'?",
    "iotool.dataset.name=LArcvDataset": "iotool.dataset.name: no dataset 'LArcvDataset'; did you mean 'LArCVDataset'?",
    "iotool.dataset.schema.new=3": (
        "iotool.dataset.schema.new: expected {parser: NAME, args: {...}} or [NAME, PRODUCT, ...]"
    ),
    "iotool.dataset.schema.new.arg=3": "iotool.dataset.schema.new.arg: unknown key; did you mean 'args'?",
    "iotool.dataset.schema.new.args.x=3": "iotool.dataset.schema.new.parser: this key is required",
    "iotool.sampler.nam=a": "iotool.sampler.nam: unknown key; did you mean 'name'?",
    "iotool.sampler.name=RandomSample": "iotool.sampler.name: no sampler 'RandomSample'; did you mean 'RandomSampler'?",
    "iotool.collate_fn=Collate": "iotool.collate_fn: no collate function 'Collate'; did you mean 'CollateSparse'?",
    "iotool.augment.flop=true": "iotool.augment.flop: unknown key; did you mean 'flip'?",
    "model=3": "model: expected a section of keys and values, not 3",
    "model.modules={}": "model.modules: expected at least 1 of them, not an empty section",
    "model.class_scheme=pilar": "model.class_scheme: no scheme 'pilar'; did you mean 'pilarnet'?",
    "model.network_input=[input]": (
        "model.network_input: 'input' is not in iotool.dataset.schema; did you mean 'input_data'?"
    ),
    "model.modules.net.dept=3": "model.modules.net.dept: unknown key; did you mean 'depth'?",
    "model.modules.net.class_scheme=x": (
        "model.modules.net.class_scheme: unknown key; "
        "valid: depth, filters, freeze_weights, mode, model_name, model_path, name, slope"
    ),
    "model.modules.net.depth=3.5": "model.modules.net.depth: expected int, not 3.5",
    "model.modules.net.mode=3": "model.modules.net.mode: expected str | bool, not 3",
    "model.modules.net.freeze_weights=2": (
        "model.modules.net.freeze_weights: expected true or false, not 2; modules go into trainval.freeze"
    ),
    "model.modules.net.model_path=2": "model.modules.net.model_path: expected a text, not 2",
    "model.modules.net_loss.wight=3": "model.modules.net_loss.wight: unknown key; did you mean 'weight'?",
    "model.modules.nett.depth=3": "model.modules.nett: no model 'nett'; did you mean 'net'?",
    "trainval.iterations=0": "trainval.iterations: expected at least 1, not 0",
    "trainval.iteration=5": "trainval.iteration: unknown key; did you mean 'iterations'?",
    "trainval.epochs=0": "trainval.epochs: expected a number above 0, not 0",
    "trainval.gpus=one": "trainval.gpus: expected GPU numbers such as '0' or '0,1', or '' for the CPU",
    "trainval.optimizer.name=Adamm": "trainval.optimizer.name: torch has no such class 'Adamm'; did you mean 'Adam'?",
    "trainval.optimizer.args.lrr=1": "trainval.optimizer.args.lrr: unknown key; did you mean 'lr'?",
    "trainval.lr_scheduler=StepLR": "trainval.lr_scheduler.args.step_size: this key is required",
    "trainval.learning_rate=1": "trainval: learning_rate and optimizer are two ways to say one thing: give one",
    "post_processing.cu.x=1": "post_processing.cu: no post-processor 'cu'; did you mean 'cut'?",
    "post_processing.cut.minimun=1": "post_processing.cut.minimun: unknown key; did you mean 'minimum'?",
    "post_processing.cut.thresholds.Showr.seed=1": (
        "post_processing.cut.thresholds.Showr: no such class; did you mean 'Shower'?"
    ),
    "post_processing.cut.thresholds={true_classes: {Showr: {seed: 1}}}": (
        "post_processing.cut.thresholds.true_classes.Showr: no such class; did you mean 'Shower'?"
    ),
    "modell.x=1": "modell: unknown key; did you mean 'model'?",
    "iotool.batch_size.x=1": "'iotool.batch_size' is a value, not a section",
    "iotool.dataset.data_keys.4=a.h5": "'iotool.dataset.data_keys' is a list of 1 items",
    "trainval.seed": "an override has the form section.key=value",
    "trainval..seed=1": "an override has the form section.key=value",
    "trainval.seed=[1": (
        "'[1' is not valid YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)"
    ),
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_override(override, write, load):
    with pytest.raises(UserError) as error:
        load(write(), [override])
    message = str(error.value)
    place = rf"(--set {re.escape(override)}|my\.cfg:\d+): "
    assert re.match(place, message)
    assert re.sub(place, "", message, count=1) == OVERRIDES[override]


FILES = {
    "": "my.cfg: the configuration is empty",
    "# nothing": "my.cfg: the configuration is empty",
    "- a": "my.cfg: a configuration is a mapping of sections (iotool:, model:, ...)",
    "a: 1\nb: 2\na: 3\n": "my.cfg:3: duplicate key 'a', first on line 1",
    "a:\n  b: {c: 1, c: 2}\n": "my.cfg:2: duplicate key 'c', first on line 2",
    "a: [1, 2\nb: 3": "my.cfg:2: expected ',' or ']', but got ':' (while parsing a flow sequence)",
    "a:\n\tb: 1": r"my.cfg:2: found character '\t' that cannot start any token (while scanning for the next token)",
    "a: &x [*x]": "my.cfg:1: a value that contains itself",
    "a: *x": "my.cfg:1: found undefined alias 'x'",
    "a: !!python/object:os.system {}": (
        "my.cfg:1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"
    ),
    "a: {b: 1}\n---\nc: 2": "my.cfg:2: but found another document (expected a single document in the stream)",
    "iotol: {}": "my.cfg:1: iotol: unknown key; did you mean 'iotool'?",
    "include: 3": "my.cfg:1: include: expected a file name or a list of file names",
    "include: no.cfg": "my.cfg:1: include: no such file 'no.cfg'",
    "include: my.cfg": "my.cfg:1: include: 'my.cfg' includes itself",
    "model: {}": "my.cfg: iotool: this key is required",
}


@pytest.mark.parametrize("text", FILES)
def test_file(text, write, load):
    with pytest.raises(UserError) as error:
        load(write(text))
    assert str(error.value) == FILES[text]


def test_missing_file(write, load):
    with pytest.raises(UserError, match=r"^no\.cfg: no such configuration file$"):
        load("no.cfg")


def test_folder(tmp_path, load):
    with pytest.raises(UserError, match=r"is a folder, not a file$"):
        load(tmp_path)


def test_binary_file(tmp_path, load):
    path = tmp_path / "events.h5"
    path.write_bytes(b"\x89HDF\r\n\xff\xfe")
    with pytest.raises(UserError, match=r"events\.h5: cannot be read: it is no text$"):
        load(path)


def test_place_is_the_line_of_the_key(write, load, text):
    path = write(text.replace("depth: 3", "dept: 3"))
    with pytest.raises(UserError, match=r"^my\.cfg:13: model\.modules\.net\.dept: unknown key"):
        load(path)


def test_place_is_the_included_file(write, load, text):
    write(text.replace("batch_size: 4\n", "batch_size: four\n"), "bases/base.cfg")
    path = write("include: bases/base.cfg\niotool:\n  shuffle: true\n")
    with pytest.raises(UserError) as error:
        load(path)
    assert str(error.value) == "bases/base.cfg:2: iotool.batch_size: expected an integer, not 'four'"
