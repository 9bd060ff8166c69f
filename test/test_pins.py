"""constraints.txt has a release that fits for every requirement of setup.py, on every supported Python."""

import ast
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def requirements():
    """Every text of setup.py that stands in a list of requirements."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    lists = [node for node in ast.walk(tree) if isinstance(node, ast.List)]
    texts = {item.value for node in lists for item in node.elts if isinstance(item, ast.Constant)}
    return [Requirement(text) for text in sorted(map(str, texts)) if re.match(r"[\w.-]+(\[.*\])?(==|>=|~=)", text)]


def environment(python):
    system = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    full = {"python_full_version": f"{python}.5", "implementation_name": "cpython"}
    return {**system, **full, "python_version": python, "extra": ""}


def pins(python):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate(environment(python)):
                yield pin


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_pin_that_fits(python):
    pinned = {}
    for pin in pins(python):
        assert canonicalize_name(pin.name) not in pinned, f"two pins of {pin.name} for {python}"
        pinned[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    wanted = [need for need in requirements() if need.marker is None or need.marker.evaluate(environment(python))]
    assert len(wanted) > 15
    for need in wanted:
        version = pinned.get(canonicalize_name(need.name))
        assert version is not None, f"{need.name} has no pin for Python {python}: run tools/resolve_pins.py"
        assert need.specifier.contains(version, prereleases=True), f"{need} and its pin {version} for {python}"


def test_the_requirements_of_setup_are_found():
    names = {need.name for need in requirements()}
    assert {"torch", "numba", "uproot", "spconv-cu126", "pytest", "larcv"} <= names


def test_the_version_is_the_same_everywhere():
    import yaml

    from mlreco import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
