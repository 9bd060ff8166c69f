"""The files beside a log from which its training can be repeated."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import yaml

from mlreco.atomic import write_text
from mlreco.config.paths import use_full_paths
from mlreco.training.checkpoints import TrainingState
from mlreco.yaml_reader import read_yaml


def describe_run(log: Path, state: TrainingState) -> None:
    """Write the configuration and the circumstances of a run beside its log.

    The configuration has the seed that was drawn, the weights that the training began from and the full paths of its
    files, so that it can be used from any folder. A training that was resumed adds its part to the circumstances.

    Args:
        log: the CSV file; the others have its name with the endings ``.cfg`` and ``.json``.
        state: of the training; tells configuration, versions, events, history.

    Raises:
        UserError: they cannot be written.
    """
    config = read_yaml(state.metadata.config, "config") or {}
    trainval = config.setdefault("trainval", {})
    trainval["seed"] = state.seed
    runs = state.run, *reversed(state.metadata.history)
    begun_from = next((run.begun_from for run in runs if not run.resumed), "")  # older checkpoints have no history
    if begun_from:
        trainval["model_path"] = begun_from
    use_full_paths(config)
    write_text(log.with_suffix(".cfg"), yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))
    told = {
        "command": sys.argv,
        "working_directory": os.getcwd(),
        "runs": [run.model_dump() for run in (*state.metadata.history, state.run)],
        "data": state.metadata.data.model_dump() if state.metadata.data else None,
        "settings": state.metadata.settings,
    }
    write_text(log.with_suffix(".json"), json.dumps(told, indent=1, default=str) + "\n")
