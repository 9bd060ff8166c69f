"""The site holds the tables that its pages link to."""

import re
from pathlib import Path
from posixpath import normpath

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hook(tool):
    pytest.importorskip("mkdocs")
    return tool("site_results")


def test_every_link_to_a_table_leads_to_a_page_of_the_site(hook):
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

    config = MkDocsConfig()
    config.load_dict({"site_name": "mlreco", "docs_dir": str(ROOT / "docs"), "plugins": []})
    config.validate()
    pages = {file.src_uri for file in hook.on_files(Files([]), config)}
    linked = set()
    for path in sorted((ROOT / "docs").glob("*.md")):
        text = hook.on_page_markdown(path.read_text(encoding="utf-8"), page=None)
        assert "](../benchmarks/" not in text, path.name
        linked |= set(re.findall(r"\]\((results/[^)#]+)", text))
    for path in sorted((ROOT / "benchmarks" / "results").rglob("*.md")):
        folder = path.relative_to(ROOT / "benchmarks").parent.as_posix()
        links = re.findall(r"\]\(([^)#:]+\.md)", path.read_text(encoding="utf-8"))
        linked |= {normpath(f"{folder}/{link}") for link in links}
    assert linked and linked <= pages
