"""No command waits for a library that it does not use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = "config/sample/thin_sample.h5"
CODE = "import json, sys; from mlreco.cli import main; assert main() == 0; sys.stderr.write(json.dumps([*sys.modules]))"
HEAVY = {
    "matplotlib",
    "pandas",
    "plotly",
    "scipy.ndimage",
    "scipy.spatial",
    "sklearn",
    "sympy",
    "torch._dynamo",
    "uproot",
}
TORCH = {"torch"}


def imported_by(*words):
    """Return the names of the modules that a command has imported when it is done."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CODE, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def inference(tmp_path_factory):
    """The output of an inference, and what it imported."""
    output = tmp_path_factory.mktemp("imports") / "output.h5"
    words = ["config/demo.cfg", "-s", SAMPLE, "-o", output, "--iterations", "1"]
    return output, imported_by("inference", *words, "--set", "model.modules.grappa.write_pairs=true")


def test_inference(inference):
    """Tables of particles look for what touches a particle in a tree of SciPy."""
    assert inference[1] & HEAVY == {"scipy.spatial"}


def test_train(tmp_path):
    values = {
        "trainval.weight_prefix": tmp_path / "weights",
        "trainval.log_dir": tmp_path / "log",
        "iotool.num_workers": 0,
        "iotool.batch_size": 1,
        "model.modules.spice.filters": 4,
    }
    options = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    loaded = imported_by("train", "config/spice_cpu.cfg", "-s", SAMPLE, "--iterations", "1", *options)
    assert "torch.optim" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("command", "option", "not_needed"),
    [
        ("recluster", "-o", HEAVY - {"scipy.spatial"}),
        ("evaluate", "--json", HEAVY | TORCH),
        ("display", "-o", HEAVY - {"plotly"} | TORCH),
        ("report", "-o", HEAVY - {"plotly"} | TORCH),
        ("export", "--csv", HEAVY - {"scipy.spatial"} | TORCH),
    ],
)
def test_commands_on_an_output(inference, tmp_path, command, option, not_needed):
    assert not imported_by(command, inference[0], option, tmp_path / "written.h5") & not_needed


@pytest.mark.parametrize(("command", "options"), [("info", ()), ("convert", ("-o", "converted.h5"))])
def test_commands_on_events(tmp_path, command, options):
    options = [tmp_path / word if word.endswith(".h5") else word for word in options]
    assert not imported_by(command, SAMPLE, *options) & (HEAVY | TORCH | {"numba"})


def test_info_of_an_output_and_of_a_checkpoint(inference):
    assert not imported_by("info", inference[0]) & (HEAVY | TORCH | {"numba"})
    assert not imported_by("info", "config/weights/thin.ckpt") & (HEAVY | {"numba"})


def test_commands_on_logs_and_parts(inference, tmp_path):
    (tmp_path / "train_log-0000000.csv").write_text("iter,loss\n1,0.5\n")
    drawn = imported_by("log", tmp_path, "-o", tmp_path / "page.html")
    assert not drawn & (HEAVY - {"plotly"} | TORCH | {"numba"})
    assert not imported_by("merge", tmp_path / "merged.h5", inference[0], "--copy") & (HEAVY | TORCH | {"numba"})
