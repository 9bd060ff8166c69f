"""What the container images are made of is in the checkout, and the same for Docker and Apptainer."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def sent_to_docker():
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*", "only what is named goes into an image"
    return {line[1:] for line in lines if line.startswith("!")}


def copied_by_apptainer():
    files = re.search(r"^%files\n((?: +.+\n)+)", (ROOT / "containers/mlreco.def").read_text(), re.MULTILINE)[1]
    return dict(line.split() for line in files.splitlines())


def test_both_images_hold_the_same_files_of_the_checkout():
    copied = copied_by_apptainer()
    assert set(copied) == sent_to_docker()
    assert all(target == f"/src/{source}" for source, target in copied.items())
    assert all((ROOT / source).exists() for source in copied)


def test_all_that_the_installation_reads_is_copied():
    read = {"mlreco", "config", "pyproject.toml", "setup.py"}
    read |= set(re.findall(r'HERE / "([\w.]+)"', (ROOT / "setup.py").read_text()))
    read |= set(re.findall(r"-c (\S+)", (ROOT / "containers/install.sh").read_text()))
    assert read <= sent_to_docker()
