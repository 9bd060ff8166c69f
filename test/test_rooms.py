"""Who imports whom: rooms on floors without circles, and one door to the engine."""

import ast
import importlib
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = "mlreco.sparse"
ENGINE_ROOMS = (
    *("native", "maps", "plain", "cuda", "gathered", "layers"),
    *("cpu.codegen", "cpu.threads", "cpu.ops", "cpu.training"),
)


def module_of(file):
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_of(file): file for file in sorted((ROOT / "mlreco").rglob("*.py"))}
TREES = {module: ast.parse(file.read_text(encoding="utf-8")) for module, file in FILES.items()}


def homes(tree):
    """Return name -> module of what an ``__init__`` hands on when it is asked for, from its table ``_HOMES``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOMES":
            table = ast.literal_eval(node.value)
            return {name: home if isinstance(home, str) else home[0] for name, home in table.items()}
    return {}


HOMES = {module: homes(tree) for module, tree in TREES.items()}


class Imports(ast.NodeVisitor):
    """The modules that a file imports, wherever in the file; ``for_types`` are those of type annotations alone."""

    def __init__(self, tree):
        self.at_runtime, self.for_types = set(), set()
        self.found = self.at_runtime
        self.visit(tree)

    def visit_If(self, node):
        if getattr(node.test, "id", None) != "TYPE_CHECKING":
            self.generic_visit(node)
            return
        self.found = self.for_types
        for part in node.body:
            self.visit(part)
        self.found = self.at_runtime

    def visit_Import(self, node):
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node):
        assert not node.level, "imports name their module in full"
        for alias in node.names:
            inside = f"{node.module}.{alias.name}"
            self.found.add(inside if inside in FILES else node.module)
            self.found |= {HOMES[node.module][alias.name]} if alias.name in HOMES.get(node.module, ()) else set()

    def visit_Call(self, node):
        if ast.unparse(node.func).endswith("import_module") and isinstance(node.args[0], ast.Constant):
            self.found.add(node.args[0].value)
        self.generic_visit(node)


IMPORTS = {module: Imports(tree) for module, tree in TREES.items()}


def room_of(module):
    return module.split(".")[1] if "." in module else "mlreco"


def floors():
    """Return room -> floor of the table in the documentation."""
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.M)
    return {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}


def test_every_import_goes_down():
    floor = floors()
    assert set(floor) == {room_of(module) for module in FILES} - {"mlreco"}
    upwards = []
    for module, imports in IMPORTS.items():
        here = room_of(module)
        for name in imports.at_runtime | imports.for_types:
            there = room_of(name)
            counts = name.startswith("mlreco.") and there != here and here != "mlreco"
            if (counts and floor[there] >= floor[here]) or name == "mlreco":
                upwards.append(f"{module} imports {name}")
    assert not upwards


@pytest.mark.parametrize("package", [package for package, table in HOMES.items() if table])
def test_what_is_imported_on_demand_is_there(package):
    room = importlib.import_module(package)
    assert set(HOMES[package]) <= set(room.__all__)
    assert all(hasattr(room, name) for name in room.__all__)
    with pytest.raises(AttributeError, match=f"^module '{package}' has no attribute 'nothing'$"):
        _ = room.nothing


def test_files_do_not_import_each_other_in_circles():
    """`TopologicalSorter` raises a CycleError that names the files."""
    arrows = {module: imports.at_runtime & FILES.keys() - {module} for module, imports in IMPORTS.items()}
    assert len(list(TopologicalSorter(arrows).static_order())) == len(FILES) > 400


@pytest.mark.parametrize("there", ["mlreco.iotools.dataset", "mlreco.iotools"])
def test_an_arrow_is_seen_wherever_it_stands(there):
    name = "LArCVDataset" if HOMES.get(there) else "dataset"
    text = f"def f():\n    from {there} import {name}\nif TYPE_CHECKING:\n    import mlreco.cli\n"
    imports = Imports(ast.parse(text))
    assert "mlreco.iotools.dataset" in imports.at_runtime and imports.for_types == {"mlreco.cli"}


def engine_room(module):
    inside = module.removeprefix(f"{ENGINE}.")
    return next((room for room in ENGINE_ROOMS if inside == room or inside.startswith(f"{room}.")), inside)


def test_no_circle_among_the_rooms_of_the_engine():
    """What is imported for types alone is left out: engines and layers know each other's types."""
    arrows = {}
    for module in FILES:
        if module.startswith(f"{ENGINE}."):
            inside = {name for name in IMPORTS[module].at_runtime if name.startswith(f"{ENGINE}.")}
            arrows.setdefault(engine_room(module), set()).update(engine_room(name) for name in inside)
    arrows = {room: others - {room} for room, others in arrows.items()}
    order = list(TopologicalSorter(arrows).static_order())
    assert set(ENGINE_ROOMS) <= set(order)
    for low, high in (("native", "maps"), ("maps", "cpu.ops"), ("cpu.ops", "cpu.engine"), ("engine", "layers")):
        assert order.index(low) < order.index(high)
    assert not arrows["native"]


def test_the_engine_does_not_go_through_its_door_and_knows_nothing_of_models():
    for module in FILES:
        if module.startswith(f"{ENGINE}."):
            imported = IMPORTS[module].at_runtime
            assert ENGINE not in imported, module
            own = {name for name in imported if name.startswith("mlreco.") and not name.startswith(f"{ENGINE}.")}
            shared = {"compiled", "console", "double_backward", "errors"}
            assert own <= {f"mlreco.{name}" for name in shared}, module


def test_others_use_the_door_of_the_engine():
    for module, imports in IMPORTS.items():
        if module != ENGINE and not module.startswith(f"{ENGINE}."):
            past = {name for name in imports.at_runtime if name.startswith(f"{ENGINE}.")}
            assert not past, module
