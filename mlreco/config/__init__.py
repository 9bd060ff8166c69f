"""Configurations: YAML files with includes and overrides, checked whole before anything runs."""

from mlreco.config.checked import Config
from mlreco.config.load import load_config, parse_config
from mlreco.frozen import FrozenDict, FrozenList

__all__ = ["Config", "FrozenDict", "FrozenList", "load_config", "parse_config"]
