"""Installs the plugin package beside this file into a temporary folder, with real entry point metadata."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory):
    """A folder that holds the installed plugin: its code and what ``pip`` would write about it."""
    source = tmp_path_factory.mktemp("source")
    folder = tmp_path_factory.mktemp("installed")
    shutil.copy(HERE / "setup.py", source)
    shutil.copytree(HERE / "mlreco_testplugin", source / "mlreco_testplugin")
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    shutil.copytree(source / "mlreco_testplugin", folder / "mlreco_testplugin")
    return folder
