"""The benchmark of CUDA devices: silent without one, complete with one."""

import pytest
import torch

from benchmarks import gpu
from benchmarks.measurement import OURS, Settings


def test_without_a_device_it_says_so_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main(["--output", str(tmp_path / "results")])
    assert capsys.readouterr().out == "no CUDA device\n"
    assert not (tmp_path / "results").exists()


def test_every_case_is_measured_with_every_arithmetic():
    found = list(gpu.measure(Settings(rounds=1, quick=True), torch.device("cpu")))
    cases = {}
    for measured in found:
        assert measured.least > 0
        cases.setdefault(measured.case, []).append(measured.contender)
    device, host = f"{OURS} on the device", f"{OURS} on the host, from the device"
    network = [OURS, f"{device}, float32", f"{device}, fp16", f"{device}, bf16"]
    expected = {}
    for voxels in (200, 300):
        for events in (1, 2):
            expected[f"inference, by event, {voxels} voxels, batch {events}"] = network
            expected[f"clusterer, by event, {voxels} voxels, batch {events}"] = [OURS, device, host]
        expected[f"training step, {voxels} voxels, batch 2"] = network
    assert cases == expected
    assert all("iterations/s" in m.note for m in found if m.case.startswith("training"))


def test_the_cpu_can_be_left_out():
    found = gpu.measure(Settings(rounds=1, quick=True), torch.device("cpu"), device_only=True)
    assert all("the device" in next(found).contender for _ in range(3))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_quick_run_writes_its_results(tmp_path):
    gpu.main(["--quick", "--output", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"gpu.json", "gpu.md"}
