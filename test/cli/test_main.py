"""The command line: what each command passes on, what it refuses, and the exit status."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import mlreco.inference
import mlreco.iotools
import mlreco.training
import mlreco.visualization
from mlreco import __version__
from mlreco.cli import main
from mlreco.errors import UserError

ROOT = Path(__file__).parents[2]
CONFIG = """\
iotool:
  dataset:
    data_keys: [events.h5]
    schema: {input_data: [parse_sparse3d, sparse3d_pcluster]}
model:
  class_scheme: pilarnet
  modules: {uresnet: {depth: 2}}
  network_input: [input_data]
trainval: {epochs: 2}
"""


@dataclass
class Summary:
    events_in: int = 3
    events_out: int = 2
    seconds: float = 4.0
    compiling: float = 0.1
    kernels: int = 0
    left_out: dict = field(default_factory=lambda: {"cluster_label": "no cluster3d_pcluster"})
    skipped: tuple = ()
    remarks: tuple = ()


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Replace what the commands call; the list gets what they are called with."""
    monkeypatch.chdir(tmp_path)
    Path("my.cfg").write_text(CONFIG)
    made = []

    def train(config, *, resume=None, weights=None):
        made.append(("train", config, resume, weights))
        return "weights/snapshot-7.ckpt"

    def run_inference(config, output, *, weights=None):
        made.append(("inference", config, output, weights))
        return Summary()

    monkeypatch.setattr(mlreco.training, "train", train)
    monkeypatch.setattr(mlreco.inference, "run_inference", run_inference)
    return made


def test_train(calls, capsys):
    assert (
        main(["train", "my.cfg", "-s", "a.h5", "b.h5", "--iterations", "5", "--seed", "3", "--weights", "w.ckpt"]) == 0
    )
    [(name, config, resume, weights)] = calls
    assert (name, resume, weights) == ("train", None, Path("w.ckpt"))
    assert config.iotool.dataset.data_keys == ["a.h5", "b.h5"]
    assert (config.trainval.iterations, config.trainval.epochs, config.trainval.seed) == (5, None, 3)
    assert capsys.readouterr().out == "last checkpoint: weights/snapshot-7.ckpt\n"


@pytest.mark.parametrize(
    ("words", "resume"), [([], None), (["--resume"], "latest"), (["--resume", "x.ckpt"], "x.ckpt")]
)
def test_resume(words, resume, calls):
    assert main(["train", "my.cfg", *words]) == 0
    assert calls[0][2] == resume


def test_set_may_be_repeated(calls):
    assert main(["train", "my.cfg", "--set", "trainval.seed=1", "--set", "iotool.batch_size=7"]) == 0
    assert (calls[0][1].trainval.seed, calls[0][1].iotool.batch_size) == (1, 7)


def test_options_that_stand_for_keys(calls):
    words = ["--batch-size", "3", "--gpus", "", "-n", "2:9", "--epochs", "1.5"]
    assert main(["train", "my.cfg", *words]) == 0
    config = calls[0][1]
    assert (config.iotool.batch_size, config.trainval.gpus, config.trainval.epochs) == (3, "", 1.5)
    assert config.iotool.dataset.entry_range == [2, 9]
    assert main(["inference", "my.cfg", "-n", "5"]) == 0
    assert calls[1][1].iotool.dataset.entry_range == [0, 5]


def test_inference_makes_the_folder(calls, capsys):
    assert main(["inference", "my.cfg", "-o", "new/out.h5"]) == 0
    assert calls[0][2] == Path("new/out.h5")
    assert Path("new").is_dir()
    said = capsys.readouterr()
    assert said.out == "new/out.h5: 2 of 3 events in 4.0 s (0.5 events/s)\n"
    assert said.err == "mlreco: cluster_label is left out: no cluster3d_pcluster\n"


@pytest.mark.parametrize(("train", "command"), [("true", "train"), ("false", "inference")])
def test_old_form_obeys_trainval_train(train, command, calls):
    assert main(["my.cfg", "--set", f"trainval.train={train}"]) == 0
    assert calls[0][0] == command


REFUSED = {
    ("inferenc", "my.cfg"): "no command 'inferenc'; did you mean 'inference'?",
    ("run-config", "my.cfg"): "no command 'run-config'",
    (): "the following arguments are required: COMMAND (see 'mlreco --help')",
    ("train",): "the following arguments are required: CONFIG or --resume FILE (see 'mlreco train --help')",
    ("train", "--resume"): "the following arguments are required: CONFIG or --resume FILE",
    ("train", "spice_cpu"): "train on which events? say -s FILES, or iotool.dataset.data_keys in the configuration",
    ("train", "my.cfg", "--epochs", "0"): "argument --epochs: expected a positive number, not '0'",
    ("inference", "thinn"): "no file and no shipped configuration 'thinn'; did you mean 'thin'?",
    ("configs", "thinn"): "no file and no shipped configuration 'thinn'; did you mean 'thin'?",
    ("inference", "x.ckpt"): "x.ckpt: no such checkpoint",
    ("inference", "thin", "-n", "x"): "argument -n/--events: expected a number such as 100 or a range such as 100:200",
    ("train", "my.cfg", "--sed", "3"): "'mlreco train' takes no '--sed'; did you mean '--seed'?",
    ("train", "my.cfg", "-o", "x.h5"): "'mlreco train' takes no '-o'",
    ("train", "my.cfg", "more.cfg"): "'mlreco train' takes no 'more.cfg'",
    ("inference", "my.cfg", "--resume"): "'mlreco inference' takes no '--resume'",
    ("inference", "my.cfg", "-o", "."): ".: is a folder, not a file to write",
    ("inference", "my.cfg", "-o", "my.cfg/x.h5"): "my.cfg: cannot be made: File exists",
    ("evaluate", "x.h5", "--min-voxels", "-1"): (
        "argument --min-voxels: expected an integer from 0, not '-1' (see 'mlreco evaluate --help')"
    ),
    ("train", "my.cfg", "--iterations", "0"): (
        "argument --iterations: expected a positive integer, not '0' (see 'mlreco train --help')"
    ),
    ("train", "my.cfg", "--weights", "a", "--resume"): (
        "argument --resume: not allowed with argument --weights (see 'mlreco train --help')"
    ),
    ("train", "no.cfg"): "no.cfg: no such configuration file",
    ("no.cfg",): "no.cfg: no such configuration file",
    ("my.cfg", "-o", "x.h5"): "--output is for inference, but trainval.train is true; say 'mlreco inference CONFIG'",
    ("my.cfg", "--resume", "--set", "trainval.train=false"): (
        "--resume is for training, but trainval.train is false; say 'mlreco train CONFIG'"
    ),
    ("train", "my.cfg", "--set", "iotool.batch=1"): (
        "--set iotool.batch=1: iotool.batch: unknown key; did you mean 'batch_size'?"
    ),
    ("display", "no.h5"): "no.h5: no such file",
    ("evaluate", "no.h5"): "no.h5: no such file",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_refused_in_one_line(words, calls, capsys):
    assert main(list(words)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"mlreco: error: {REFUSED[words]}")
    assert said.err.count("\n") == 1
    assert not calls


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (UserError("two\nlines"), 2, "mlreco: error: two lines\n"),
        (KeyboardInterrupt(), 130, "mlreco: interrupted\n"),
        (KeyboardInterrupt("saved a.ckpt"), 130, "mlreco: interrupted: saved a.ckpt\n"),
        (
            MemoryError(),
            2,
            "mlreco: error: out of memory: lower iotool.batch_size\n",
        ),
        (
            ModuleNotFoundError("no", name="spconv"),
            2,
            f"mlreco: error: the package 'spconv' is not installed in {sys.executable}: pip install mlreco[cuda]\n",
        ),
    ],
)
def test_what_an_exception_becomes(raised, status, said, calls, monkeypatch, capsys):
    def train(*args, **kwargs):
        raise raised

    monkeypatch.setattr(mlreco.training, "train", train)
    assert main(["train", "my.cfg"]) == status
    assert capsys.readouterr().err == said


def test_a_bug_keeps_its_traceback(calls, monkeypatch, capsys):
    monkeypatch.setattr(mlreco.training, "train", lambda *args, **kwargs: {}["key"])
    assert main(["train", "my.cfg"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2] == "KeyError: 'key'"
    assert lines[-1] == "mlreco: this is a bug in mlreco; please report it with the lines above"


def test_notices_are_told(calls, capsys):
    assert main(["train", "my.cfg", "--set", "trainval.unwrapper=x"]) == 0
    assert "trainval.unwrapper: no effect in mlreco, ignored" in capsys.readouterr().err


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mlreco {__version__}\n"
    assert main(["--help"]) == 0
    assert "run-config" not in capsys.readouterr().out
    for command in ("train", "inference", "evaluate", "display"):
        assert main([command, "--help"]) == 0


def run(*words, **options):
    return subprocess.run(
        [sys.executable, ROOT / "bin" / "run.py", *words], capture_output=True, text=True, check=False, **options
    )


def test_processes(tmp_path):
    helped = run("--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    refused = run("train", "no.cfg", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "mlreco: error: no.cfg: no such configuration file\n"


def test_help_imports_nothing_heavy():
    code = "import json, sys; from mlreco.cli import main; main(['-h']); sys.stderr.write(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stderr))
    assert not loaded & {"torch", "numpy", "numba", "h5py", "pydantic", "yaml", "plotly", "tqdm"}


def test_closed_pipe_is_quiet():
    code = "import sys; from mlreco.cli import entry; entry.run_command = lambda _: sys.stdout.write('x' * 99999) and 0"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", f"{code}; sys.exit(entry.main([]))"]
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
