"""The wheel carries all that a user needs: it works in an empty folder, without the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel installs, but its dependencies."""
    wheels, folder = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "mlreco", "config"):
        (source / name).symlink_to(ROOT / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source], check=True)
    [wheel] = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder, wheel], check=True)
    return folder


def run(installed, cwd, *words):
    """Run the installed command where nothing of the checkout can be imported."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONNOUSERSITE": "1"}
    code = "import sys; from mlreco.cli import main; import mlreco; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_demo_runs_from_the_wheel(installed, tmp_path):
    done = run(installed, tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    assert {"output.h5", "evaluation.json", "event_0.html"} <= {path.name for path in (tmp_path / "demo").iterdir()}


def test_the_configurations_are_those_of_the_wheel(installed, tmp_path):
    written = run(installed, tmp_path, "configs", "thin").stdout
    assert str(installed) in written
    (tmp_path / "mine.cfg").write_text(written)
    done = run(installed, tmp_path, "inference", "mine.cfg", "--iterations", "1")
    assert done.returncode == 0, done.stderr
