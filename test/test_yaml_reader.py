"""Texts that are no configurations: one line with the place, at once, whatever they stand for."""

import re
import time
from pathlib import Path

import pytest

from mlreco.errors import UserError
from mlreco.post_processing.settings.values_file import read_mapping as read_values
from mlreco.yaml_reader import read_file, read_mapping, read_sections, read_value, read_yaml


def bomb(levels, width):
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


MERGED = "\n".join(["a: &a {x: 1}", *(f"c{n}: &c{n} {{p: *{m}, q: *{m}, <<: *{m}}}" for n, m in
                    enumerate(["a", *(f"c{k}" for k in range(40))]))])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(40, 9), "f:1: aliases stand for"),
        (MERGED, "f:1: aliases stand for"),
        ("a: &x [*x]", "f:1: a value that contains itself"),
        ("a: &x {b: {c: *x}}", "f:1: a value that contains itself"),
        ("? [a, b]\n: 1", "f:1: a key must be a plain text"),
        ("x: 1\n? {a: b}\n: 1", "f:2: a key must be a plain text"),
        ("\0\1", "f: unacceptable character #x0000"),
        ("a: !!timestamp 2001", "f:1: values of the type 'timestamp' have no meaning"),
        ("a: !!binary '%%%'", "f:1: values of the type 'binary'"),
        ("a: !!set {b, c}", "f:1: values of the type 'set'"),
        ("a: !!omap [b: 1]", "f:1: values of the type 'omap'"),
        ("a: !!python/object/apply:os.system [ls]", "f:1: could not determine a constructor"),
        ("a: !!int x", "f: "),
        ("a: !!float x", "f: "),
        ("a: " + "1" * 5000, "f: "),
        ("a: " + "[" * 5000, "f: nested too deeply"),
        ("a: 1\na: 2", "f:2: duplicate key 'a', first on line 1"),
        ("a: 1\n" * 500_000, "f: has 2500000 characters"),
        ("", "f: the configuration is empty"),
        ("- 1", "f: a configuration is a mapping"),
    ],
    ids=lambda text: text[:20].replace("\n", " ") if isinstance(text, str) else "",
)
def test_refused(text, message):
    started = time.process_time()
    with pytest.raises(UserError) as told:
        read_mapping(text, "f")
    assert str(told.value).startswith(message) and "\n" not in str(told.value)
    assert time.process_time() - started < 20


def test_aliases_and_merges_of_ordinary_size():
    text = "base: &base {filters: 16, depth: 5}\none: {<<: *base, depth: 6}\nlist: [*base, *base]\n"
    values, places = read_mapping(text, "f")
    assert values["one"] == {"filters": 16, "depth": 6}
    assert values["list"] == [{"filters": 16, "depth": 5}] * 2
    assert places["one", "depth"] == "f:2" and places["one", "filters"] == "f:1"


def test_a_date_is_a_text():
    assert read_yaml("2026-11-26", "f") == "2026-11-26"
    assert read_value("2026-11-26 10:00:00", "--set a") == "2026-11-26 10:00:00"


@pytest.mark.parametrize("items", [999, 1000, 1001, 5000])
def test_long_lists(items):
    values, places = read_mapping(f"a: [{', '.join(map(str, range(items)))}]", "f")
    assert values["a"] == list(range(items))
    assert places["a", str(min(items, 1000) - 1)] == "f:1"


def test_the_message_about_an_override_names_it():
    with pytest.raises(UserError, match=r"^--set a: '\[1' is not valid YAML: expected"):
        read_value("[1", "--set a")


def test_files(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfMIP: {seed: 0.5}\n")
    assert read_values(path, f"thresholds file {path}", "MIP: 1") == {"MIP": {"seed": 0.5}}
    assert read_file(path) == "MIP: {seed: 0.5}\n"
    path.write_text(bomb(40, 9))
    with pytest.raises(UserError, match=rf"^thresholds file {path}:1: aliases stand for"):
        read_values(path, f"thresholds file {path}", "MIP: 1")
    with path.open("wb") as file:
        file.truncate(1 << 40)
    for read in (read_file, lambda name: read_values(name, str(name), "")):
        with pytest.raises(UserError, match="has 1099511627776 bytes"):
            read(path)


@pytest.mark.parametrize("text", ["[1, 2]", "5", "model: 1", "model: [uresnet]", "7", bomb(9, 9), "a: &a [*a]", "a: ["])
def test_configurations_that_files_carry(text):
    with pytest.raises(UserError, match=r"^out.h5: its configuration"):
        read_sections(text, "out.h5: its configuration")


def test_sections_without_keys_are_there():
    assert read_sections("", "out.h5") == {}
    assert read_sections("iotool:\nmodel: {a: 1}", "out.h5") == {"iotool": {}, "model": {"a": 1}}


def test_no_other_loader_of_yaml_is_used():
    """The limits of this one hold wherever the package and its tools read YAML."""
    root = Path(__file__).parents[1]
    sources = [path for folder in ("mlreco", "tools", "benchmarks", "bin") for path in (root / folder).rglob("*.py")]
    assert len(sources) > 300
    assert not [path for path in sources if re.search(r"yaml\.\w*load", path.read_text(encoding="utf-8"))]
