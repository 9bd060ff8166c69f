"""Every command, file and code block of the documentation runs, or is looked at where it would need hours or a GPU."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mlreco.cli import commands, main
from mlreco.config import load_config

sys.path.insert(0, str(Path(__file__).parent))
from markdown_blocks import blocks_of, commands_of, indented_code

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM = ("mlreco", "bin/run.py")
EVENTS = ("my_events.h5", "events.h5", "train.h5", "tune.h5", "test.h5")
"""Names that pages give to files of events: each is a copy of a few events of the sample."""


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def few_events(tmp_path_factory):
    from mlreco.iotools import LArCV3Reader, LArCV3Writer
    from mlreco.iotools.interface import read_product

    path = tmp_path_factory.mktemp("events") / "few.h5"
    reader = LArCV3Reader(ROOT / "config/sample/thin_sample.h5")
    with LArCV3Writer(path) as writer:
        for entry in range(3):
            products = {name: read_product(reader, entry, name) for name in reader.products()}
            writer.append(reader.event_id(entry), products)
    reader.close()
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch, few_events):
    for name in EVENTS:
        (tmp_path / name).symlink_to(few_events)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page(page, folder, capsys):
    text = page.read_text(encoding="utf-8")
    assert not indented_code(text), f"{name_of(page)}: fence code, so that it can be run"
    namespace = {"__name__": "__page__"}
    printed = ""
    for block in blocks_of(text):
        where = f"{name_of(page)}:{block.line}"
        if "file" in block.marks:
            path = folder / block.marks["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif "output" in block.marks:
            assert squeezed(block.text) in squeezed(printed), f"{where}: prints {printed!r}"
        elif block.language in ("sh", "bash"):
            printed = run_shell(block, where, capsys)
        elif block.language == "python":
            capsys.readouterr()
            code = compile(block.text, where, "exec")
            if "parsed" not in block.marks:
                exec(code, namespace)
            printed = capsys.readouterr().out
        elif block.language == "yaml":
            check_yaml(block, where)
        else:
            assert block.language in ("text", "bibtex", "mermaid"), (
                f"{where}: say what the block is: sh, python, yaml, text"
            )


def squeezed(text):
    return " ".join(text.split())


def run_shell(block, where, capsys):
    capsys.readouterr()
    for command in commands_of(block):
        words = as_run_by_torchrun([word for word in shlex.split(command) if word])
        if re.match(r"\w+=\S*$", words[0]):
            assert len(words) == 1, f"{where}: {command}: set variables on a line of their own"
            os.environ.update([words[0].split("=", 1)])
        elif words[0].removeprefix("./") in PROGRAM:
            words = [os.path.expandvars(word) for word in words[1:]]
            if "parsed" in block.marks:
                parse(words, where)
            else:
                status = main(words)
                assert status == (2 if "fails" in block.marks else 0), f"{where}: {command}: {capsys.readouterr().err}"
        else:
            assert known(words), f"{where}: {command}: a command that this test cannot judge"
    said = capsys.readouterr()
    return said.err if "fails" in block.marks else said.out


def as_run_by_torchrun(words):
    """Return the command that ``torchrun ... -m mlreco`` starts in each process; any other command as it is."""
    return words[words.index("-m") + 1 :] if words[0] == "torchrun" and "-m" in words else words


def parse(words, where):
    """Check that the command line takes these words."""
    command = next((module for module in commands.load() if words[0] == module.NAME), None)
    assert command is not None, f"{where}: no command {words[0]}"
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    command.add_arguments(parser)
    try:
        _, unknown = parser.parse_known_args(words[1:])
    except (argparse.ArgumentError, SystemExit) as error:
        pytest.fail(f"{where}: {' '.join(words)}: {error}")
    assert not unknown, f"{where}: unknown options {unknown}"


def known(words):
    """Tell whether a command of another program does what the page says."""
    program = Path(words[0]).name
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return all("=" in word or word in targets for word in words[1:])
    if program in ("pip", "pip3") or words[1:3] == ["-m", "pip"]:
        return known_extras(words)
    if program == "bash":
        return (ROOT / words[1]).is_file()
    if program.startswith("python"):
        return known_script(words[1:])
    if program in ("docker", "apptainer"):
        return known_container(words)
    return program in ("git", "cd", "export", "pre-commit", "sbatch", "nohup", "ruff", "mypy", "ls", "cat")


def known_container(words):
    """Images are built from files of the checkout, and what follows the name of one that is run is a command line."""
    if words[1] == "run":
        image = next(place for place, word in enumerate(words) if word in ("mlreco", "mlreco.sif"))
        parse(words[image + 1 :], " ".join(words))
    return all((ROOT / word).is_file() for word in words if word.startswith("containers/"))


def known_extras(words):
    setup = (ROOT / "setup.py").read_text()
    asked = [extra for word in words for match in re.findall(r"\[(.*?)\]", word) for extra in match.split(",")]
    return all(f'"{extra}":' in setup for extra in asked)


def known_script(words):
    if words[:1] == ["-m"]:
        module = ROOT / words[1].replace(".", "/")
        return words[1] in ("pytest", "venv") or module.is_dir() or module.with_suffix(".py").is_file()
    return (ROOT / words[0]).is_file()


def check_yaml(block, where):
    """A whole configuration is checked as one; a part of one is laid over a shipped one."""
    values = yaml.safe_load(block.text)
    assert isinstance(values, (dict, list)), where
    if isinstance(values, dict) and {"model", "iotool", "trainval", "post_processing"} & set(values):
        Path("part.cfg").write_text(block.text)
        base = {} if "include" in values else load_config(ROOT / "config/chain.cfg").to_dict()
        modules = (values.get("model") or {}).get("modules")
        if modules and base:
            base["model"]["modules"] = {}
        load_config("part.cfg", base=base)


def test_links_lead_somewhere():
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", text):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (page.parent / target).exists(), f"{name_of(page)}: no file {target}"


@pytest.mark.parametrize("tool", ["config_reference", "cli_reference"])
def test_generated_pages_are_what_the_code_says(tool):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, f"run 'make reference': tools/{tool}.py says another page"
