"""Every configuration that is shipped is constructed and runs one step."""

from pathlib import Path

import pytest
import torch

from mlreco.config import load_config
from mlreco.errors import UserError
from mlreco.inference import run_inference
from mlreco.inference.fragment_cache import cache_fragments
from mlreco.iotools import HDF5Reader
from mlreco.simulation import require_geant4
from mlreco.training import train

FOLDER = Path(__file__).parents[1] / "config"
CONFIGS = sorted(FOLDER.glob("*.cfg"))
QUICK = ["iotool.batch_size=1", "iotool.num_workers=0", "trainval.iterations=1"]


def test_there_are_the_promised_chains():
    assert {"uresnet", "spice", "chain", "demo", "thin", "fat"} <= {path.stem for path in CONFIGS}


def skip_without_geant4():
    try:
        require_geant4()
    except UserError as error:
        pytest.skip(str(error))


def fragments_of_the_sample(folder):
    config = load_config(FOLDER / "thin.cfg", ["iotool.dataset.entry_range=[0,2]"])
    return cache_fragments(config, folder / "fragments.h5").output


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_configuration_trains_and_infers(path, tmp_path):
    overrides = [*QUICK, f"trainval.weight_prefix={tmp_path}/snapshot", f"trainval.log_dir={tmp_path}/log"]
    of_fragments = path.stem == "grappa"
    if of_fragments:
        overrides.append(f"iotool.dataset.data_keys={fragments_of_the_sample(tmp_path)}")
    config = load_config(path, overrides)
    if config.iotool.dataset.get("simulation"):
        skip_without_geant4()
    checkpoint = train(config)
    content = torch.load(checkpoint, weights_only=True)
    assert content["iteration"] == 1
    assert all(torch.isfinite(t).all() for t in content["state_dict"].values() if t.is_floating_point())
    if of_fragments:
        return
    summary = run_inference(config, tmp_path / "output.h5", weights=checkpoint)
    assert summary.events_out == 1
    with HDF5Reader(tmp_path / "output.h5") as reader:
        event = reader[0]
    assert ("fragments" in event) == any("spice" in name for name in config.model.modules)
    if "fragments" in event:
        assert (event["fragments"] >= 0).all()
