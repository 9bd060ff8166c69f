"""All analyses of one file: figures, tables, numbers and a page."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from html import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mlreco.analysis.result import Result
from mlreco.analysis.sample import Sample, read_sample
from mlreco.analysis.statistics import Number
from mlreco.atomic import atomic_path, write_text
from mlreco.errors import UserError, nearest
from mlreco.visualization.page import html_page, html_table

SUBJECTS = ("tracks", "dedx", "range_energy", "michel", "showers", "pi0", "efficiency", "vertices")
"""Names of the analyses, in the order of the page."""


def subject(name: str) -> ModuleType:
    """Return the module of an analysis.

    Raises:
        UserError: there is none of that name.
    """
    if name not in SUBJECTS:
        raise UserError(f"no analysis '{name}'{nearest(name, SUBJECTS)}")
    return import_module(f"mlreco.analysis.subjects.{name}")


def analyse_file(path: str | Path, folder: str | Path, names: Iterable[str] = SUBJECTS) -> dict[str, list[Number]]:
    """Write for each analysis NAME.png, NAME.html and NAME.csv, and for all index.html and numbers.json.

    Args:
        path: an output file.
        folder: an existing folder; files of these names in it are replaced.
        names: analyses to run.

    Returns:
        Name of each analysis to its numbers; those that need a truth that the file lacks are left out.

    Raises:
        UserError: no such analysis; matplotlib is not installed; no output file; a file cannot be written.
    """
    modules = {name: subject(name) for name in names}
    _matplotlib()
    sample = read_sample(path)
    folder, found, missing = Path(folder), {}, {}
    for name, module in modules.items():
        try:
            found[name] = module.analyse(sample)
        except UserError as error:
            missing[name] = str(error)
    if not found:
        raise UserError(next(iter(missing.values())))
    empty = [name for name, result in found.items() if not any(one.count for one in result.numbers)]
    for name in empty if len(empty) < len(found) else ():
        del found[name]
        missing[name] = f"{path}: has no particle of which this is known"
    figures = {name: _write(folder, name, result, sample) for name, result in found.items()}
    numbers = {name: result.numbers for name, result in found.items()}
    document = {"file": str(path), "events": sample.events, "missing": missing}
    document["numbers"] = {name: [_plain(one) for one in listed] for name, listed in numbers.items()}
    write_text(folder / "numbers.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    parts = [
        _section(name, result, figures[name], f"<h2>{escape(result.title)}</h2>") for name, result in found.items()
    ]
    parts += [f"<p>{escape(name)}: left out, {escape(text)}</p>" for name, text in missing.items()]
    write_text(folder / "index.html", _page(f"Physics of {Path(path).name}", sample, parts))
    return numbers


def _write(folder: Path, name: str, result: Result, sample: Sample) -> bytes:
    """Write the files of one analysis; return its figure as PNG."""
    picture = _drawn(result)
    with atomic_path(folder / f"{name}.png") as temporary:
        temporary.write_bytes(picture)
    write_text(folder / f"{name}.html", _page(result.title, sample, [_section(name, result, picture)]))
    with ExitStack() as stack:
        file = stack.enter_context(atomic_path(folder / f"{name}.csv")).open(
            "w", newline="", encoding="utf-8", errors="backslashreplace"
        )
        with file:
            writer = csv.writer(file)
            writer.writerow(result.columns)
            writer.writerows(zip(*map(_texts, result.columns.values()), strict=True))
    return picture


def _texts(values: np.ndarray) -> list[Any]:
    values = np.asarray(values)
    if values.dtype.kind != "f":
        return values.tolist()
    return ["" if value != value else f"{value:.7g}" for value in values.astype(np.float64).tolist()]


def _drawn(result: Result) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    result.draw(figure)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(result.title)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _section(name: str, result: Result, picture: bytes, headline: str = "") -> str:
    rows = [
        (
            escape(one.name),
            escape(one.measured()),
            str(one.count),
            f"{one.expected:.4g}" if one.expected == one.expected else "",
        )
        for one in result.numbers
    ]
    image = base64.b64encode(picture).decode("ascii")
    return (
        f'<section id="{escape(name)}">{headline}<img alt="{escape(result.title)}" src="data:image/png;base64,{image}">'
        + html_table(("", "value", "entries", "expected"), rows)
        + f"<p>{escape(result.note)}</p></section>"
    )


def _page(title: str, sample: Sample, parts: Iterable[str]) -> str:
    head = f"<h1>{escape(title)}</h1><p>{escape(str(sample.path))}: {sample.events} events, "
    head += f"{len(sample.particles)} particles. Uncertainties are statistical, 68 %.</p>"
    return html_page(title, head + "\n".join(parts), styles=["report.css"])


def _plain(number: Number) -> dict[str, Any]:
    known = asdict(number).items()
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in known}


def _matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise UserError(
            "figures need the package 'matplotlib', which is not installed: pip install 'mlreco[analysis]'"
        ) from None
