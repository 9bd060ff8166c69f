"""The registry: lazy, precise about what is missing, the same for built-in names, plugins and locations."""

import sys
from importlib.metadata import EntryPoint, entry_points

import pytest

from mlreco import registry
from mlreco.errors import UserError
from mlreco.registry import Registry

BUILTIN = {"sqrt": "math:sqrt", "path_join": "os:path.join", "broken": "mlreco.no_such_module:thing"}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported during the test."""
    monkeypatch.syspath_prepend(tmp_path)

    def call(name, code):
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return call


@pytest.fixture
def plugins(monkeypatch):
    """Pretend that packages are installed that have these entry points."""

    def call(**points):
        made = [EntryPoint(name, value, "mlreco.test") for name, value in points.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in made if p.group == group])

    return call


def test_builtin_plugin_and_location(plugins):
    plugins(cosine="math:cos")
    functions = Registry("function", BUILTIN, "mlreco.test")
    assert functions.get("sqrt")(9) == 3
    assert functions.get("cosine")(0) == 1
    assert functions.get("math:floor")(1.5) == 1
    assert functions.get("path_join")("a", "b") == "a/b"
    assert functions.names() == ["broken", "cosine", "path_join", "sqrt"]


def test_builtin_wins_over_plugin(plugins):
    plugins(sqrt="math:cos")
    assert Registry("function", BUILTIN, "mlreco.test").get("sqrt")(9) == 3


def test_without_group_there_are_no_plugins():
    assert Registry("function", {"a": "math:cos"}).names() == ["a"]
    assert entry_points(group="mlreco.no_such_group") == ()


def test_nothing_is_imported_before_it_is_asked_for(module, plugins):
    name = module("explodes", "raise RuntimeError('imported')")
    plugins(bomb=f"{name}:thing")
    functions = Registry("function", BUILTIN, "mlreco.test")
    functions.check("bomb")
    functions.check(f"{name}:thing")
    assert "bomb" in functions
    assert name not in sys.modules
    with pytest.raises(RuntimeError, match="imported"):
        functions.get("bomb")


MESSAGES = {
    "sqr": "no function 'sqr'; did you mean 'sqrt'?",
    "zzz": "no function 'zzz'; valid: broken, path_join, sqrt",
    "math:sqr": "function 'math:sqr': math has no 'sqr'; did you mean 'sqrt'?",
    "math:zzzzz": "function 'math:zzzzz': math has no 'zzzzz'",
    ":sqrt": "function ':sqrt': ':sqrt' is not of the form package.module:attr",
    "math:": "function 'math:': 'math:' is not of the form package.module:attr",
    "no_such_package:x": "function 'no_such_package:x' needs the module 'no_such_package', which is not installed",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_message(name):
    with pytest.raises(UserError) as error:
        Registry("function", BUILTIN).get(name)
    assert str(error.value) == MESSAGES[name]


@pytest.mark.parametrize(("package", "extra"), [("spconv", "cuda"), ("uproot", "root"), ("larcv", "larcv")])
def test_missing_optional_dependency_names_the_extra(package, extra, module, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    name = module("wants_it", f"import {package}.something")
    with pytest.raises(UserError) as error:
        Registry("reader", {"mine": f"{name}:thing"}).get("mine")
    assert str(error.value) == (
        f"reader 'mine' needs the package '{package}', which is not installed: pip install 'mlreco[{extra}]'"
    )


def test_plugin_with_a_faulty_import(module):
    name = module("faulty", "from math import no_such_name")
    with pytest.raises(UserError, match=r"^function 'faulty:x' cannot be imported: cannot import name 'no_such_name'"):
        Registry("function", {}).get(f"{name}:x")


def test_a_broken_module_of_our_own_is_a_bug():
    with pytest.raises(ModuleNotFoundError):
        Registry("function", BUILTIN).get("broken")
