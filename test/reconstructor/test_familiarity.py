"""Events unlike those of the training are told of, everywhere, with what would fit them; others are not."""

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mlreco
from mlreco import shipped
from mlreco.checkpoints import Metadata
from mlreco.checkpoints.familiarity import EventsSeen, differences
from mlreco.checkpoints.fingerprint import fingerprint
from mlreco.cli import main
from mlreco.iotools import LArCVDataset
from mlreco.reconstructor.reconstructor import UnfamiliarEvents

SCHEMA = {"input_data": ["parse_sparse3d", "sparse3d_pcluster"]}


def data_of(name):
    return fingerprint(LArCVDataset(shipped.sample(name), SCHEMA), "input_data")


@pytest.fixture(scope="module")
def trained():
    """What the thin and the fat sample look like."""
    return {"thin": data_of("sample"), "fat": data_of("fat_sample")}


@pytest.fixture(scope="module")
def checkpoint(thin, trained, tmp_path_factory):
    """The shipped weights for thin events as a checkpoint that tells of its training."""
    path = tmp_path_factory.mktemp("familiar") / "thin.ckpt"
    told = Metadata(config=thin.config.text, class_scheme="pilarnet", data=trained["thin"])
    content = {"state_dict": thin._reconstruction.chain.state_dict(), "metadata": told.model_dump_json()}
    torch.save(content, path)
    return path


def seen(name, **changes):
    found = EventsSeen()
    with mlreco.open(shipped.sample(name)) as events:
        for event in events:
            size = changes.get("voxel_size", event.voxel_size)
            found.add(changes.get("scale", 1) * event.energies, size)
    return found


def test_events_of_the_training_are_familiar_together_and_alone(trained):
    for kind, name in (("thin", "sample"), ("fat", "fat_sample")):
        assert differences(seen(name), trained[kind]) == []
        with mlreco.open(shipped.sample(name)) as events:
            for event in events:
                one = EventsSeen()
                one.add(event.energies, event.voxel_size)
                assert differences(one, trained[kind]) == []


def test_each_quantity_is_told_with_both_values(trained):
    [size] = differences(seen("sample", voxel_size=(0.5, 0.5, 0.5)), trained["thin"])
    assert size == "voxel size 0.5 cm, trained on 0.3 cm"
    [size] = differences(seen("sample", voxel_size=(0.3, 0.3, 0.5)), trained["thin"])
    assert size == "voxel size 0.3 x 0.3 x 0.5 cm, trained on 0.3 cm"
    [energy] = differences(seen("sample", scale=1000), trained["thin"])
    assert energy.startswith("median energy of a voxel 5")
    assert "MeV, trained on 0." in energy
    count, energy = differences(seen("fat_sample"), trained["thin"])
    assert re.fullmatch(r"[\d,]+ voxels an event, trained on [\d,]+ to [\d,]+", count)
    assert energy.startswith("median energy of a voxel 0.0")
    assert differences(EventsSeen(), trained["thin"]) == []


@given(st.lists(st.integers(0, 300), max_size=8), st.floats(0.01, 100))
def test_only_the_energy_scale_can_differ_where_the_rest_is_the_same(counts, scale):
    rng = np.random.default_rng(0)
    events = [rng.exponential(size=count) for count in counts]
    found = EventsSeen()
    for energies in events:
        found.add(energies, (0.3,) * 3)
    assert found.voxels == [count for count in counts if count]
    assert found.energies == [float(np.median(one)) for one in events if len(one) >= 50]


def test_the_command_line_warns_and_the_output_tells(checkpoint, tmp_path, capsys):
    for source, warned in (("sample", False), ("fat_sample", True)):
        output = str(tmp_path / f"{source}.h5")
        assert main(["inference", str(checkpoint), "-s", source, "--iterations", "1", "-o", output]) == 0
        assert ("these events are unlike those" in capsys.readouterr().err) == warned
        with mlreco.open(output) as events:
            told = json.loads(events.info["warnings"])
        assert len(told) == warned
        assert main(["evaluate", output]) == 0
        assert ("warning: these events are unlike" in capsys.readouterr().out) == warned
        assert main(["info", output]) == 0
        assert ("these events are unlike" in capsys.readouterr().out) == warned


def test_python_warns(checkpoint, sample, recwarn):
    chain = mlreco.Reconstructor.from_pretrained(checkpoint)
    assert chain.image_shape == (512, 512, 512)
    event = chain.predict(sample[0])
    assert event.warnings == ()
    assert not [one for one in recwarn if one.category is UnfamiliarEvents]
    with mlreco.open(shipped.sample("fat_sample")) as events:
        with pytest.warns(UnfamiliarEvents, match="median energy of a voxel"):
            [event] = chain.predict(events[:1])
        assert "unlike those that the weights were trained on" in event.warnings[0]
    with pytest.warns(UnfamiliarEvents, match="voxel size 3 cm, trained on 0.3 cm"):
        chain.predict(sample[0].coordinates, sample[0].energies, voxel_size=3)
    with pytest.warns(UnfamiliarEvents):
        assert len(list(chain.predict_file(shipped.sample("fat_sample")))) == 2


def test_the_warning_names_the_shipped_chain_that_fits(checkpoint, thin, trained, tmp_path, monkeypatch):
    told = Metadata(config=thin.config.text, data=trained["fat"]).model_dump_json()
    torch.save({"state_dict": thin._reconstruction.chain.state_dict(), "metadata": told}, tmp_path / "fat.ckpt")
    text = f"include: {shipped.configuration('thin')}\ntrainval: {{model_path: {tmp_path}/fat.ckpt}}\n"
    (tmp_path / "fat.cfg").write_text(
        text + "model: {modules: {uresnet_spice: {model_path: ''}, grappa: {model_path: ''}}}\n"
    )
    monkeypatch.setattr(shipped, "configurations", lambda: {"fat": tmp_path / "fat.cfg"})
    chain = mlreco.Reconstructor.from_pretrained(checkpoint)
    with mlreco.open(shipped.sample("fat_sample")) as events:
        with pytest.warns(UnfamiliarEvents, match="the shipped chain 'fat' was trained on such events"):
            chain.predict(events[0])
        with pytest.warns(UnfamiliarEvents, match="no shipped chain fits them"):
            chain.predict(events[0].coordinates, events[0].energies, voxel_size=1)
