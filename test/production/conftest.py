"""Files of events and weights that tests of productions share."""

import pytest
import torch
from production_samples import ROOT, TINY, write_events

from mlreco.config import load_config
from mlreco.models.assembly import build_chain


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    chain, _ = build_chain(load_config(ROOT / "config/chain.cfg", TINY))
    path = tmp_path_factory.mktemp("weights") / "tiny.ckpt"
    torch.save({"state_dict": chain.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Four files of 1, 2, 3 and 4 events."""
    folder = tmp_path_factory.mktemp("events")
    return [write_events(folder / f"f{count}.h5", count, run=count) for count in (1, 2, 3, 4)]
