"""Configurations on disk, and stand-ins for what they name."""

import textwrap
from pathlib import Path

import pytest

from mlreco.config import load_config
from mlreco.errors import UserError, nearest

TEXT = """\
iotool:
  batch_size: 4
  sampler: {name: RandomSequenceSampler, batch_size: 4}
  dataset:
    data_keys: [events.h5]
    schema:
      input_data: [parse_sparse3d_scn, sparse3d_pcluster]
      segment_label:
        parser: parse_sparse3d
        args: {sparse_event_list: [sparse3d_semantics]}
model:
  modules:
    net: {depth: 3}
    net_loss: {weight: 1.0}
  network_input: [input_data]
  loss_input: [segment_label]
trainval:
  optimizer: {name: Adam, args: {lr: 0.001}}
post_processing:
  cut: {thresholds: {HIP: {seed: 0.5}}}
"""


class Stage:
    def __init__(self, class_scheme, depth: int = 5, filters: int = 16, mode: str | bool = "a", slope: float = 0.3):
        pass


class StageLoss:
    def __init__(self, class_scheme, weight: float = 1.0, names: tuple[str, ...] = ()):
        pass


class Cut:
    def __init__(self, thresholds: dict, minimum: int = 0):
        pass


def _stage_classes(name):
    if name != "net":
        raise UserError(f"no model '{name}'{nearest(name, ['net'])}")
    return Stage, StageLoss


def _post_processor(name):
    if name != "cut":
        raise UserError(f"no post-processor '{name}'{nearest(name, ['cut'])}")
    return Cut


@pytest.fixture
def load():
    """`load_config` with stand-ins for stages and post-processors."""

    def call(path, overrides=(), **options):
        return load_config(path, overrides, stage_classes=_stage_classes, post_processor=_post_processor, **options)

    return call


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into the working directory of the test, and return its name relative to it."""
    monkeypatch.chdir(tmp_path)

    def call(text=TEXT, name="my.cfg"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return call


@pytest.fixture
def text():
    """A small, complete configuration."""
    return TEXT
