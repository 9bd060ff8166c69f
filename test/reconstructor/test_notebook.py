"""The notebook in ``docs/`` runs from the first cell to the last."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs").glob("*.ipynb"))


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path, capsys):
    """Each cell is run as a notebook does; the value of its last expression is what would be shown."""
    names, shown = {}, []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]), str(path))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, str(path), "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), str(path), "eval"), names))
    assert all(value is not None for value in shown)
    figures = [value for value in shown if hasattr(value, "to_plotly_json")]
    assert len(figures) == 2
    assert "are they centimetres?" in capsys.readouterr().out
