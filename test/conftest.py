"""What all tests share: hypothesis without time limits (a first call may compile), and repeatable where CI is set.

The compiled engine shares even the smallest work among all threads that it is given.
"""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

CHAIN = Path(__file__).parents[1] / "config" / "chain.cfg"

settings.register_profile("mlreco", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("mlreco")

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # tests under ``nohup``: what they start is not
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def all_threads_work():
    from mlreco.sparse.cpu.threads import crew

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crew, "WORTH_A_THREAD", 1)
        patch.setattr(crew, "_crew", crew._Crew())
        yield


@pytest.fixture
def set_threads():
    """What sets the number of torch's threads; at the end of the test it is as before."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def untrained_weights(tmp_path_factory):
    """What writes a checkpoint of an untrained ``config/chain.cfg``, changed as its argument says; returns its path."""
    import torch

    from mlreco.config import load_config
    from mlreco.models.assembly import build_chain

    def write(overrides):
        torch.manual_seed(0)
        chain, _ = build_chain(load_config(CHAIN, overrides))
        path = tmp_path_factory.mktemp("weights") / "tiny.ckpt"
        torch.save({"state_dict": chain.state_dict()}, path)
        return path

    return write
