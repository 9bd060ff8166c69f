"""Parts of the files for jobs of an array: all of them, none twice, and what is missing is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from production_samples import tiny_config, write_events

from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.production import produce, read_manifest
from mlreco.production.inputs import Input
from mlreco.production.join import join
from mlreco.production.merge import merge
from mlreco.production.shards import part_of

sizes = st.lists(st.integers(0, 1000), min_size=1, max_size=40)


@given(sizes, st.integers(1, 12))
def test_every_file_is_in_one_shard_and_shards_are_of_about_one_size(sizes, count):
    inputs = [Input(place, Path(f"/{place}.h5"), size, f"{place}.h5") for place, size in enumerate(sizes)]
    parts = [part_of(inputs, (number, count)) for number in range(1, count + 1)]
    assert sorted(one.place for part in parts for one in part) == list(range(len(sizes)))
    assert all(part == sorted(part, key=lambda one: one.place) for part in parts)
    loads = [sum(one.size + 1 for one in part) for part in parts]
    assert max(loads) - min(loads) <= max(sizes) + 1


def test_shards_make_what_one_production_makes(tmp_path, files, weights, capsys):
    folder = tmp_path / "out"
    produce(tiny_config(files), folder, weights=weights, shard=(1, 3))
    produce(tiny_config(files), folder, weights=weights, shard=(3, 3))
    assert main(["manifest", str(folder)]) == 2
    missing = [str(path) for path in files if not (folder / path.name).exists()]
    assert missing and all(path in capsys.readouterr().err for path in missing[:1])
    manifest = read_manifest(folder / "manifest.json")
    assert not manifest.finished and list(manifest.waiting) == missing
    with pytest.raises(UserError, match=r"manifest\.json: the production has not ended"):
        merge(tmp_path / "out/all.h5", [folder / "manifest.json"])

    produce(tiny_config(files), folder, weights=weights, shard=(2, 3))
    assert main(["manifest", str(folder)]) == 0
    joined = read_manifest(folder / "manifest.json")
    assert joined.finished and [one.input for one in joined.done] == list(map(str, files))
    assert merge(folder / "all.h5", [folder / "manifest.json"]) == 10

    whole = produce(tiny_config(files), folder, weights=weights)
    assert whole.done == joined.done and "4 of 4 files done before" in capsys.readouterr().out


def test_a_shard_without_files_is_done(tmp_path, files, weights):
    manifest = produce(tiny_config(files[:1]), tmp_path, weights=weights, shard=(2, 2))
    assert manifest.finished and not manifest.done and manifest.plan.files == 1


def test_shards_that_saw_other_files_are_not_joined(tmp_path, files, weights):
    produce(tiny_config(files[:1]), tmp_path, weights=weights, shard=(1, 2))
    produce(tiny_config(files[:2]), tmp_path, weights=weights, shard=(2, 2))
    with pytest.raises(UserError, match=r"manifest-2-of-2\.json and manifest-1-of-2\.json .* another list of files"):
        join(tmp_path)
    with pytest.raises(UserError, match="holds no manifest of a shard"):
        join(tmp_path / "none")


def test_one_content_under_two_names_is_told(tmp_path, weights):
    sources = [write_events(tmp_path / f"in/{name}.h5", 1, run=3) for name in "ab"]
    sources[1].write_bytes(sources[0].read_bytes())
    manifest = produce(tiny_config(sources), tmp_path / "out", weights=weights)
    assert manifest.problems() == [f"{sources[1]} has the content of {sources[0]}: its events are reconstructed twice"]
    with pytest.raises(UserError, match=r"b\.h5 has the content of .*a\.h5"):
        merge(tmp_path / "out/all.h5", [tmp_path / "out/manifest.json"])
