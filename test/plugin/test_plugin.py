"""What another package registers by entry points works like what is built in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """\
iotool:
  batch_size: 2
  dataset:
    data_keys: [events.voxels]
    schema:
      input_data: {parser: parse_bright, args: {sparse_event: sparse3d_text, threshold: 0.5}}
model:
  modules:
    brightness: {start: 3.0}
    brightness_loss: {target: 1.5}
  network_input: [input_data]
post_processing:
  one_instance: {number: 7}
"""


CODE = """
import json
from mlreco.config import load_config
from mlreco.errors import UserError
from mlreco.iotools import loader_factory
from mlreco.models.assembly import build_chain
from mlreco.models.chain import ChainLoss
from mlreco.post_processing.factories import build_post_processors

messages = []
for override in ("model.modules.brightness.stat=1", "model.modules.brightnes.x=1", "post_processing.one_instance.n=1"):
    try:
        load_config("my.cfg", [override])
    except UserError as error:
        messages.append(str(error))
config = load_config("my.cfg")
chain, _ = build_chain(config)
batch = next(iter(loader_factory(config["iotool"], train=False)))
products = chain(batch)
loss = ChainLoss.from_config(config["model"])(products, products["labels"])
[processor] = build_post_processors(config["post_processing"], chain.scheme)
print(json.dumps({
    "messages": messages,
    "charges": batch["input_data"].features[:, 0].tolist(),
    "ratio": (products["brightness"] / products["image"].features[:, -1]).tolist(),
    "expected": ((products["brightness"] - 1.5) ** 2).mean().item(),
    "loss": loss["loss"].item(),
    "fragments": processor({"coordinates": [[0, 0, 0]] * 2}, chain.scheme)["fragments"].tolist(),
}))
"""


@pytest.fixture(scope="module")
def result(plugin_folder, tmp_path_factory):
    """What a process that has the plugin installed finds."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "my.cfg").write_text(CONFIG)
    (folder / "events.voxels").write_text("voxel text\n1 1 1 2.0 3 3 3 0.1 4 4 4 1.0\n0 0 0 4.0\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin_folder), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_reader_and_parser(result):
    assert result["charges"] == [2.0, 1.0, 4.0]


def test_stage_gets_the_arguments_of_its_block(result):
    assert result["ratio"] == pytest.approx([3.0, 3.0, 3.0])


def test_loss_gets_the_arguments_of_its_block(result):
    assert result["loss"] == pytest.approx(result["expected"])


def test_post_processor(result):
    assert result["fragments"] == [7, 7]


def test_mistakes_are_told_with_the_plugins_own_words(result):
    stage, name, processor = (message.partition(": ")[2] for message in result["messages"])
    assert stage == "model.modules.brightness.stat: unknown key; did you mean 'start'?"
    assert name == "model.modules.brightnes: no model 'brightnes'; did you mean 'brightness'?"
    assert processor == "post_processing.one_instance.n: unknown key; valid: number"
