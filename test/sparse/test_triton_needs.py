"""What is in the way of Triton's kernels, and what the user is told of it."""

import shutil
import sysconfig
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
import torch

from mlreco import console
from mlreco.cli import main
from mlreco.sparse import UNetEncoder
from mlreco.sparse.cuda.engine import CudaEngine
from mlreco.sparse.gathered import triton_needs
from mlreco.sparse.gathered.triton_needs import lacking_on

GPU = torch.device("cuda", 0)
FEATURES = SimpleNamespace(device=GPU, is_cuda=True, dtype=torch.float32)


class Installed:
    """Stands in for ``importlib.metadata``."""

    PackageNotFoundError = PackageNotFoundError

    def __init__(self, version):
        self._version = version

    def version(self, name):
        if self._version is None:
            raise PackageNotFoundError(name)
        return self._version


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine where Triton's kernels run, as far as one can see; a method takes something away."""
    header = tmp_path / "include" / "Python.h"
    header.parent.mkdir()
    header.touch()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA X")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(triton_needs, "metadata", Installed("3.6.0"))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "gcc" else None)
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(header.parent))

    def forget():
        for found in (triton_needs.lacking_on, triton_needs.lacking_to_compile, console.remark_once):
            found.cache_clear()

    def lack(what):
        if what == "triton":
            monkeypatch.setattr(triton_needs, "metadata", Installed(None))
        elif what == "new triton":
            monkeypatch.setattr(triton_needs, "metadata", Installed("3.5.1"))
        elif what == "known triton":
            monkeypatch.setattr(triton_needs, "metadata", Installed("main"))
        elif what == "CC":
            monkeypatch.setenv("CC", "none")
        elif what == "compiler":
            monkeypatch.setattr(shutil, "which", lambda _: None)
        elif what == "headers":
            header.unlink()
        elif what == "device":
            monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
        elif what == "NVIDIA":  # devices of AMD are called cuda by torch, too
            monkeypatch.setattr(torch.version, "cuda", None)

    forget()
    yield SimpleNamespace(lack=lack)
    forget()


SLOWER = "which are faster:"
LACKING = {
    "triton": "Triton is not installed; Triton 3.6 or later, which comes with torch 2.10 and later for CUDA, is needed",
    "new triton": "Triton 3.5.1 is installed; Triton 3.6 or later, ",
    "known triton": "Triton main is installed; Triton 3.6 or later, ",
    "CC": "the environment variable CC names 'none', which is no program",
    "compiler": "there is no C compiler; install gcc or clang, or let the environment variable CC name one",
    "headers": "include/Python.h; install Python's headers (python3-dev)",
    "device": "NVIDIA X has the compute capability 7.5; 8.0 (Ampere) is needed",
    "NVIDIA": "they are for devices of NVIDIA",
}


@pytest.mark.parametrize("what", LACKING)
def test_what_is_lacking_is_named(machine, what):
    machine.lack(what)
    assert LACKING[what] in lacking_on(GPU)
    assert lacking_on(torch.device("cpu"))


@pytest.mark.parametrize("capability", [(8, 0), (12, 0)])
def test_nothing_is_lacking(machine, monkeypatch, capability):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert lacking_on(GPU) is None
    assert lacking_on(torch.device("cpu")) is not None


@pytest.fixture
def network(monkeypatch):
    """An encoder whose parameters seem to be on the GPU."""
    monkeypatch.setattr(UNetEncoder, "is_as_made", lambda *_: True)
    return UNetEncoder(4, 4, 2).eval()


@torch.no_grad()
def test_inference_on_spconv_is_told_once(machine, network, capsys):
    machine.lack("compiler")
    assert not CudaEngine().infers_as_a_whole(network.train(), FEATURES)
    assert not capsys.readouterr().err  # spconv trains anyway
    for _ in range(2):
        assert not CudaEngine().infers_as_a_whole(network.eval(), FEATURES)
    told = capsys.readouterr().err
    assert told == f"mlreco: inference runs on spconv instead of mlreco's own kernels, {SLOWER} {LACKING['compiler']}\n"


@torch.no_grad()
def test_inference_by_our_kernels_is_not_told(machine, network, capsys):
    assert CudaEngine().infers_as_a_whole(network, FEATURES)
    assert not CudaEngine().infers_as_a_whole(network, torch.zeros(1, 4))
    assert not capsys.readouterr().err


@pytest.mark.parametrize("what", [None, "headers"])
def test_info_tells_what_infers(machine, monkeypatch, capsys, what):
    machine.lack(what)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert main(["info"]) == 0
    device, inference, training = capsys.readouterr().out.splitlines()[2:]
    assert device == "CUDA device 0: NVIDIA X, compute capability 8.0"
    assert inference.startswith(
        "  inference runs on mlreco's own kernels" if what is None else "  inference runs on spconv"
    )
    assert what is None or inference.endswith(LACKING[what])
    assert training.startswith("  training ")


def test_info_without_a_device_and_without_a_file(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["info"]) == 0
    versions, processor, devices = capsys.readouterr().out.splitlines()
    assert versions.startswith("mlreco ") and f"torch {torch.__version__}" in versions
    assert processor.endswith(f", threads: {torch.get_num_threads()}") and devices.startswith("CUDA devices: none")
    assert main(["info", "--check"]) == 2
    assert "--check: give the files to read" in capsys.readouterr().err
