"""The chain in Python: the same numbers as on the command line, whatever the order and the company of the voxels."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import mlreco
from mlreco import shipped
from mlreco.inference.recluster import recluster
from mlreco.inference.run import run_inference
from mlreco.models.layers.by_row import by_row, linear_by_row, softmax_by_row
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.recipes import read_recipe
from mlreco.reconstructor.event import has_row_per_voxel
from mlreco.semantics import PILARNET

OF_THE_FILE = {"event_id", "source", "times"}
GEOMETRY = {"image_shape", "image_origin", "voxel_size"}
TRUTH = {"semantics_true", "instances_true", "particles_true", "interactions_true", "matches", "matches_true"}


def test_importing_the_package_imports_nothing_heavy():
    code = "import mlreco, sys; assert not {'torch', 'numba', 'h5py', 'numpy'} & {*sys.modules}; mlreco.Reconstructor"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there_and_documented():
    assert {"Reconstructor", "Event", "open", "save", "UserError"} <= set(mlreco.__all__) <= set(dir(mlreco))
    for name in set(mlreco.__all__) - {"__version__"}:
        assert getattr(mlreco, name).__doc__
    with pytest.raises(AttributeError, match="reconstruct"):
        _ = mlreco.reconstruct


def test_single_events_are_those_of_the_command_line_to_the_bit(thin, sample, command_line_output):
    """Voxels in another order, one event at a time, without labels; there: sorted, in a batch of eight, with labels."""
    with mlreco.open(command_line_output) as there:
        assert len(there) == 8
        for index, wanted in enumerate(there):
            given_event = sample[index]
            order = np.random.default_rng(index).permutation(given_event.num_voxels)
            geometry = {name: getattr(given_event, name) for name in GEOMETRY}
            event = thin.predict(given_event.coordinates[order], given_event.energies[order], **geometry)
            assert set(event) == set(wanted) - TRUTH
            for name in set(event) - OF_THE_FILE:
                of_voxels = has_row_per_voxel(name, wanted[name], event.num_voxels)
                expected = wanted[name][order] if of_voxels else wanted[name]
                assert event[name].dtype == expected.dtype
                assert event[name].tobytes() == expected.tobytes(), (index, name)
            assert np.array_equal(event.instances, wanted.instances[order])


def test_events_of_a_file_and_files_are_those_of_the_command_line_to_the_bit(thin, sample, command_line_output):
    stream = thin.predict_file(sample.path)
    with mlreco.open(command_line_output) as there:
        for wanted, event, streamed in zip(there, thin.predict(sample[:8]), stream, strict=False):
            for found in (event, streamed):
                read_from_files = set() if found is streamed else {"particles_true", "interactions_true"}
                assert set(found) == set(wanted) - (read_from_files - {"particles_true"})
                for name in set(found) - read_from_files - {"times"}:
                    assert found[name].tobytes() == wanted[name].tobytes(), name
    stream.close()


def test_reconstruct_file_is_the_command_line(thin, tmp_path, command_line_output):
    summary = thin.reconstruct_file(mlreco.open(command_line_output).path, tmp_path / "again.h5")
    assert (summary.events_in, summary.events_out) == (8, 8)
    with mlreco.open(command_line_output) as one, mlreco.open(tmp_path / "again.h5") as again:
        for a, b in zip(one, again, strict=True):
            assert np.array_equal(a.fragments, b.fragments)
            assert np.array_equal(a.embeddings, b.embeddings)


def shared_energy(event):
    """Return how much of the energy of an event is counted for other particles than those of its voxels, MeV."""
    inside = event["instances"] >= 0
    sums = np.bincount(event["instances"][inside], event["energies"][inside])
    return np.abs(event["particles"]["expected_energy"] - sums).sum()


def test_true_classes_can_be_given(sample, tmp_path):
    overrides = ["model.modules.uresnet_spice.semantics=true", "model.modules.fragmenter.semantics=true"]
    chain = mlreco.Reconstructor.from_pretrained("thin", overrides=overrides)
    recipe = read_recipe("thin", [*overrides, "trainval.iterations=1"], ["sample"])
    run_inference(recipe.config, tmp_path / "true.h5")
    event = sample[2]
    by_arrays = chain.predict(event.coordinates, event.energies, voxel_size=0.3, semantics=event.semantics_true)
    with mlreco.open(tmp_path / "true.h5") as there:
        assert np.array_equal(by_arrays.fragments, there[2].fragments)
        assert np.array_equal(chain.predict(event).fragments, there[2].fragments)
        assert by_arrays.in_true_classes.tolist() == there[2].in_true_classes.tolist() == [1]
        assert max(map(shared_energy, [by_arrays, *there])) < 0.1
        bias = chain.config["post_processing"]["particle_builder"]
        unmarked = [{name: rows for name, rows in one.items() if name != "in_true_classes"} for one in there]
        builder = ParticleBuilder(**bias)
        assert max(shared_energy(one | builder(one, PILARNET)) for one in unmarked) > 1, "as in earlier versions"
    again = tmp_path / "again.h5"
    recluster(tmp_path / "true.h5", {"linked_clusterer": {}, "particle_builder": bias}, again)
    tuned = yaml.safe_load((shipped.configuration("thin").parent / "weights" / "thin_graph_true.yaml").read_text())
    assert json.loads(by_arrays.info["thresholds"]) == tuned
    with mlreco.open(again) as there:
        assert max(shared_energy({**one, "instances": one.instances}) for one in there) < 0.1
    with pytest.raises(mlreco.UserError, match="true semantic classes"):
        chain.predict(event.coordinates, event.energies, voxel_size=0.3)


def test_empty_and_single_voxel_events(thin, sample):
    event = sample[0]
    nothing = np.empty((0, 3), np.int32), np.empty(0, np.float32)
    one = np.array([[511, 0, 255]]), np.array([2.5])
    found = thin.predict([nothing[0], event.coordinates, one[0]], [nothing[1], event.energies, one[1]], voxel_size=0.3)
    assert [len(each.instances) for each in found] == [0, event.num_voxels, 1]
    assert len(found[0].particles) == 0
    assert np.array_equal(found[1].fragments, thin.predict(event).fragments)
    assert found[2].particles.columns()["energy"].tolist() == [2.5]
    assert thin.predict([]) == []
    alone = thin.predict(*nothing, voxel_size=0.3)
    assert alone.embeddings.shape == (0, found[1].embeddings.shape[1])


def test_voxels_given_twice_are_merged_as_the_readers_add_deposits(thin, sample):
    event = sample[1]
    again = np.array([5, 40, 5])
    coordinates = np.concatenate([event.coordinates[again], event.coordinates])
    split = event.energies.astype(np.float64)
    shares = np.where(again == 5, 0.25, 0.5) * split[again]
    split[5], split[40] = 0.5 * split[5], 0.5 * split[40]
    found = thin.predict(coordinates, np.concatenate([shares, split]), voxel_size=0.3)
    plain = thin.predict(event)
    assert found.num_voxels == event.num_voxels
    assert found.row_of_input[:3].tolist() == [0, 1, 0]
    assert np.array_equal(found.coordinates[found.row_of_input], coordinates)
    assert np.array_equal(found.instances[found.row_of_input][3:], plain.instances)
    assert np.array_equal(found.energies[found.row_of_input][3:], plain.energies)
    assert found.warnings == (
        f"3 of {len(coordinates)} voxels were given more than once and merged, their energies added",
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda c, e: (c.astype(np.float64), e.astype(np.float64)),
        lambda c, e: (c.tolist(), e.tolist()),
        lambda c, e: (torch.from_numpy(c), torch.from_numpy(e)),
        lambda c, e: (np.asfortranarray(c.astype(np.uint16)), e[::-1][::-1]),
        lambda c, e: (np.ma.masked_array(c), e.astype(">f4")),
    ],
    ids=["float64", "lists", "torch", "fortran uint16", "big endian"],
)
def test_arrays_in_other_forms(thin, sample, form):
    event = sample[3]
    coordinates, energies = event.coordinates, event.energies
    before = coordinates.copy(), energies.copy()
    found = thin.predict(*form(coordinates, energies), voxel_size=(0.3, 0.3, 0.3))
    assert np.array_equal(found.fragments, thin.predict(event).fragments)
    assert np.array_equal(coordinates, before[0])
    assert np.array_equal(energies, before[1])


def test_the_geometry_reaches_event_and_particles(thin, sample):
    event = sample[0]
    found = thin.predict(event.coordinates, event.energies, voxel_size=(0.3, 0.4, 0.5), image_origin=(-10, 0, 100))
    assert (found.voxel_size, found.image_shape) == ((0.3, 0.4, 0.5), (512, 512, 512))
    centres = np.array([-10, 0, 100]) + (event.coordinates + 0.5) * [0.3, 0.4, 0.5]
    np.testing.assert_allclose(found.positions, centres)
    table = found.particles.columns()
    first = found.instances == table["particle"][0]
    centroid = [table[f"centroid_{axis}"][0] for axis in "xyz"]
    np.testing.assert_allclose(centroid, centres[first].mean(axis=0), rtol=1e-6)
    assert table["energy"].sum() == pytest.approx(event.energies.sum(), rel=1e-6)


def events_of(name, *sources):
    return [Path(file).name for file in read_recipe(name, (), sources).config.iotool.dataset["data_keys"]]


def test_sample_is_that_of_the_configuration(tmp_path):
    assert events_of("thin", "sample") == events_of("fat", "thin_sample") == ["thin_sample.h5"]
    assert events_of("fat", "sample") == events_of("thin", "fat_sample") == ["fat_sample.h5"]
    assert events_of("fat", "sample", "thin_sample") == ["fat_sample.h5", "thin_sample.h5"]
    assert events_of("fat", "other.h5") == ["other.h5"]
    text = yaml.safe_load(read_recipe("fat").config.text)
    for dataset, events in (({"data_keys": ["/data/mine.h5"]}, "thin"), ({}, "thin")):
        text["iotool"]["dataset"] = {"name": "LArCVDataset", "schema": text["iotool"]["dataset"]["schema"], **dataset}
        (tmp_path / "mine.cfg").write_text(yaml.safe_dump(text))
        assert events_of(tmp_path / "mine.cfg", "sample") == [f"{events}_sample.h5"]
    text["post_processing"] = {"no_such": {}}
    (tmp_path / "mine.cfg").write_text(yaml.safe_dump(text))
    with pytest.raises(mlreco.UserError, match="no_such"):
        read_recipe(tmp_path / "mine.cfg", (), ["sample"])


def test_chains_by_file_by_checkpoint_and_with_weights(thin, sample, tmp_path):
    recipe = read_recipe("thin")
    states = {f"stages.{k}": v for k, v in thin._reconstruction.chain.stages.state_dict().items()}
    torch.save({"state_dict": states, "config": recipe.config.text}, tmp_path / "mine.ckpt")
    torch.save({"state_dict": states}, tmp_path / "bare.ckpt")
    (tmp_path / "mine.cfg").write_text(recipe.config.text)
    wanted = thin.predict(sample[0]).embeddings
    for name, weights in (("mine.ckpt", None), ("mine.cfg", None), ("mine.cfg", tmp_path / "bare.ckpt")):
        chain = mlreco.Reconstructor.from_pretrained(tmp_path / name, weights=weights)
        assert np.array_equal(chain.predict(sample[0]).embeddings, wanted)
    with pytest.raises(mlreco.UserError, match="weights without a configuration"):
        mlreco.Reconstructor.from_pretrained(tmp_path / "bare.ckpt")


def test_a_chain_can_be_pickled(thin, sample):
    copy = pickle.loads(pickle.dumps(thin))
    assert np.array_equal(copy.predict(sample[0]).fragments, thin.predict(sample[0]).fragments)


def test_the_product_instances_of_a_later_stage_is_what_users_get():
    fragments, instances = np.array([0, 1, 2]), np.array([0, 0, 1])
    assert mlreco.Event({"fragments": fragments}).instances.tolist() == [0, 1, 2]
    assert mlreco.Event({"fragments": fragments, "instances": instances}).instances.tolist() == [0, 0, 1]


@settings(max_examples=30)
@given(st.integers(1, 200), st.integers(1, 9), st.integers(0, 2**31))
def test_rows_do_not_depend_on_their_neighbours(count, cut, seed):
    values = 4 * torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))
    weight, bias = values[:1, :4].expand(3, 4), values[0, :3]
    for function in (
        lambda part: by_row(torch.sigmoid, part[:, 0]),
        lambda part: by_row(torch.tanh, part[:, :3]),
        softmax_by_row,
        lambda part: linear_by_row(part[:, :4], weight, bias),
    ):
        assert torch.equal(function(values), torch.cat([function(part) for part in values.split(cut)]))
    torch.testing.assert_close(softmax_by_row(values), values.softmax(dim=1))
    linear = linear_by_row(values[:, :4], weight, bias)
    torch.testing.assert_close(linear, torch.nn.functional.linear(values[:, :4], weight, bias))
    one_by_one = bias.expand(count, 3).clone()
    for column in range(4):
        one_by_one += values[:, column, None] * weight[:, column]
    assert torch.equal(linear, one_by_one)
