"""What ``mlreco list`` says of the built-in names and of a plugin's."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from mlreco.cli import main
from mlreco.registries import registries
from mlreco.registry import Registry


def test_everything_built_in_is_listed(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kind", "name", "location", "package"]
    listed = {tuple(line.rsplit(maxsplit=3)[:3]) for line in lines[1:] if line.endswith("mlreco")}
    expected = {
        (f"{registry.kind}s", name, location)
        for registry in registries()
        for name, location in registry.builtin.items()
    }
    assert listed == expected


def test_one_kind_and_what_can_be_imported(capsys):
    assert main(["list", "parsers", "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[1:]} == {"parsers"}
    assert all(line.endswith("ok") for line in lines[1:])
    assert main(["list", "parser"]) == 2
    assert "no kind 'parser'; there are models, " in capsys.readouterr().err


def test_where_a_plugin_comes_from(monkeypatch):
    points = [EntryPoint("mine", "package.module:Thing", "group"), EntryPoint("uresnet", "package.other:Net", "group")]
    monkeypatch.setattr("mlreco.registry.entry_points", lambda group: EntryPoints(points))
    registry = Registry("model", {"uresnet": "mlreco.models.uresnet:UResNet"}, "group")
    assert [(entry.name, entry.location, entry.package) for entry in registry.entries()] == [
        ("mine", "package.module:Thing", "unknown"),
        ("uresnet", "mlreco.models.uresnet:UResNet", "mlreco"),
        ("uresnet", "package.other:Net", "unknown (hidden: a name of mlreco)"),
    ]
    with pytest.raises(Exception, match="package"):
        registry.get("mine")
