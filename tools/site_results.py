"""Hook of mkdocs: the tables in ``benchmarks/results`` are pages of the site, where links lead to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
_IN_REPOSITORY, _IN_SITE = "](../benchmarks/results/", "](results/"


def on_files(files: Files, config: Any) -> Files:
    """Add the tables to the files of the site."""
    for path in sorted(RESULTS.rglob("*.md")):
        page = path.relative_to(RESULTS.parent).as_posix()
        where = page, str(RESULTS.parent), config.site_dir, config.use_directory_urls
        files.append(File(*where, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page with links that lead to the tables in the site."""
    return markdown.replace(_IN_REPOSITORY, _IN_SITE)
