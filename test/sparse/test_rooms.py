"""The engine's rooms: no circles among them, and one door for all others."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGINE = "mlreco.sparse"
ROOMS = ("native", "maps", "plain", "cuda", "layers", "cpu.codegen", "cpu.threads", "cpu.ops", "cpu.training")


def runtime_imports(file):
    """Names of the modules that a file imports when it runs; what is imported for types alone is left out."""

    class Visitor(ast.NodeVisitor):
        def __init__(self):
            self.found = set()

        def visit_If(self, node):
            if getattr(node.test, "id", None) != "TYPE_CHECKING":
                self.generic_visit(node)

        def visit_Import(self, node):
            self.found |= {alias.name for alias in node.names}

        def visit_ImportFrom(self, node):
            module = ROOT / node.module.replace(".", "/")
            for alias in node.names:
                is_module = (module / f"{alias.name}.py").exists() or (module / alias.name / "__init__.py").exists()
                self.found.add(f"{node.module}.{alias.name}" if is_module else node.module)

    visitor = Visitor()
    visitor.visit(ast.parse(file.read_text()))
    return visitor.found


def module_of(file):
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module):
    inside = module.removeprefix(f"{ENGINE}.")
    return next((room for room in ROOMS if inside == room or inside.startswith(f"{room}.")), inside)


def test_no_circle_among_the_rooms():
    arrows = {}
    for file in (ROOT / "mlreco/sparse").rglob("*.py"):
        module = module_of(file)
        if module == ENGINE:
            continue
        inside = {name for name in runtime_imports(file) if name.startswith(f"{ENGINE}.")}
        arrows.setdefault(room_of(module), set()).update(room_of(name) for name in inside)
    arrows = {room: others - {room} for room, others in arrows.items()}
    order = list(TopologicalSorter(arrows).static_order())
    assert set(ROOMS) <= set(order)
    for low, high in (("native", "maps"), ("maps", "cpu.ops"), ("cpu.ops", "cpu.engine"), ("engine", "layers")):
        assert order.index(low) < order.index(high)
    assert not arrows["native"]


def test_rooms_do_not_go_through_the_door_and_know_nothing_of_models():
    for file in (ROOT / "mlreco/sparse").rglob("*.py"):
        imported = runtime_imports(file)
        assert ENGINE not in imported, file
        own = {name for name in imported if name.startswith("mlreco.") and not name.startswith(f"{ENGINE}.")}
        assert own <= {"mlreco.errors", "mlreco.compiled", "mlreco.double_backward"}, file


def test_others_use_the_door():
    for file in (ROOT / "mlreco").rglob("*.py"):
        if not file.is_relative_to(ROOT / "mlreco/sparse"):
            past = {name for name in runtime_imports(file) if name.startswith(f"{ENGINE}.")}
            assert not past, file
