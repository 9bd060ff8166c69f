"""Configurations: YAML files with includes and overrides, checked whole before anything runs."""

from mlreco.config.frozen import Config, FrozenDict, FrozenList
from mlreco.config.load import load_config, parse_config

__all__ = ["Config", "FrozenDict", "FrozenList", "load_config", "parse_config"]
