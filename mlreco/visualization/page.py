"""A self-contained HTML page: styles, data and scripts inside, nothing fetched from a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files

_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{styles}
</style>
</head>
<body>
{body}
{data}
{scripts}
</body>
</html>
"""


def html_page(
    title: str,
    body: str,
    *,
    styles: Iterable[str] = (),
    data: Mapping[str, object] | None = None,
    scripts: Sequence[str] = (),
) -> str:
    """Return a whole page.

    Args:
        title: text of the window's title, escaped here.
        body: HTML, whose texts are already escaped.
        styles: names of the style sheets of this folder to put in.
        data: element id -> JSON text for the scripts to read, or an object that becomes such.
        scripts: names of the scripts of this folder to run at the end; plotly.js comes before them if there are any.
    """
    code = [_plotly_code(), *(_asset(name) for name in scripts)] if scripts else []
    return _TEMPLATE.format(
        title=escape(title),
        styles="\n".join(_asset(name) for name in styles),
        body=body,
        data="\n".join(_json_element(name, value) for name, value in (data or {}).items()),
        scripts="\n".join(f"<script>{text}</script>" for text in code),
    )


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]], css_class: str = "") -> str:
    """Return a table of cells that are HTML already.

    Args:
        header: cells of the first row.
        rows: cells of the other rows.
        css_class: class of the table element.
    """
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="{css_class}"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'


def colour_chip(colour: str) -> str:
    """Return a small square of a colour."""
    return f'<span class="chip" style="background:{escape(colour)}"></span>'


def json_text(value: object) -> str:
    """Return an object as JSON that can stand in a page."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _json_element(name: str, value: object) -> str:
    text = value if isinstance(value, str) else json_text(value)
    return f'<script type="application/json" id="{escape(name)}">{text}</script>'


def _asset(name: str) -> str:
    return files("mlreco.visualization").joinpath("assets", name).read_text(encoding="utf-8")


def _plotly_code() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
