"""Analyses of a file of drawn events, from the command line, and what they say where truth is missing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_particles import STEP, image_of, line, random_directions, shower, stopping_energies

from mlreco.analysis.run import SUBJECTS, analyse_file
from mlreco.cli import main
from mlreco.cli.analysis_script import run
from mlreco.errors import UserError
from mlreco.iotools import HDF5Writer
from mlreco.particles.columns import put_vectors
from mlreco.particles.csda import kinetic_energy
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.particles.truth import true_particles
from mlreco.semantics import PILARNET

pandas = pytest.importorskip("pandas")
EVENTS = 8


def drawn_event(seed):
    """A muon with its Michel electron, a proton and two photons from one vertex, and the truth about them."""
    rng = np.random.default_rng(seed)
    vertex = rng.uniform(-10, 10, 3)
    directions = random_directions(4, seed)
    lengths = {"muon": rng.uniform(20, 40), "proton": rng.uniform(5, 20)}
    muon, travelled = line(vertex, directions[0], lengths["muon"])
    proton, far = line(vertex, directions[1], lengths["proton"])
    michel, _ = line(muon[-1], -directions[1], 10)
    image = image_of(
        (muon, stopping_energies(travelled, lengths["muon"], "muon"), "MIP"),
        (proton, stopping_energies(far, lengths["proton"], "proton"), "HIP"),
        (michel, np.full(len(michel), rng.uniform(1.8, 4) * STEP), "Michel"),
        (*shower(vertex + 10 * directions[2], directions[2], 200, seed), "Shower"),
        (*shower(vertex + 15 * directions[3], directions[3], 150, seed + 1), "Shower"),
    )
    event = {
        "coordinates": image.coordinates.astype(np.int32),
        "energies": image.energies.astype(np.float32),
        "semantics": image.semantics.astype(np.int8),
        "fragments": image.instances.astype(np.int32),
        "instances_true": image.instances.astype(np.int32),
        "semantics_true": image.semantics.astype(np.int8),
        "event_id": np.array([[1, 0, seed]]),
        "image_shape": np.array([image.shape]),
        "image_origin": np.array([image.origin]),
        "voxel_size": np.array([image.voxel_size]),
    }
    truth = true_particles(None, image.instances, image.semantics, image.energies)
    truth["pdg"], truth["shape"] = [13, 2212, 11, 22, 22], [1, 1, 2, 0, 0]
    truth["parent_pdg"], truth["primary"], truth["interaction"] = [0, 0, 13, 0, 0], [1, 1, 0, 1, 1], 0
    truth["kinetic_energy"] = [kinetic_energy(lengths[name], name) for name in lengths] + [30, 215, 161]
    truth["length"] = [lengths["muon"], lengths["proton"], 10, np.nan, np.nan]
    starts = np.stack([vertex, vertex, muon[-1], vertex + 10 * directions[2], vertex + 15 * directions[3]])
    ends = np.stack([muon[-1], proton[-1], michel[-1], starts[3], starts[4]])
    for name, values in (("start", starts), ("end", ends), ("stop", ends), ("vertex", np.tile(vertex, (5, 1)))):
        put_vectors(truth, name, values)
    put_vectors(truth, "direction", np.stack([directions[0], directions[1], -directions[1], *directions[2:]]))
    return event | {"particles_true": truth}


def write(path, build=True, without=()):
    info = {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}
    with HDF5Writer(path, info) as writer:
        for seed in range(EVENTS):
            event = {name: values for name, values in drawn_event(seed).items() if name not in without}
            writer.append(event | (ParticleBuilder()(event, PILARNET) if build else {}))
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return write(tmp_path_factory.mktemp("drawn") / "out.h5")


def test_the_command_writes_figures_tables_numbers_and_a_page(output, tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    assert main(["analyse", str(output), "-o", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert list(dict.fromkeys(text.partition(":")[0] for text in lines)) == [*SUBJECTS, "page"]
    page = (folder / "index.html").read_text(encoding="utf-8")
    numbers = json.loads((folder / "numbers.json").read_text())
    assert numbers["events"] == EVENTS
    assert len(lines) == 1 + sum(map(len, numbers["numbers"].values()))
    assert page.count("<h2>") == len(SUBJECTS) and "<h2>" not in (folder / "michel.html").read_text(encoding="utf-8")
    for name in SUBJECTS:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f'id="{name}"' in page
        assert "data:image/png" in (folder / f"{name}.html").read_text(encoding="utf-8")
        assert len(pandas.read_csv(folder / f"{name}.csv")) > 0
    found = {one["name"]: one for listed in numbers["numbers"].values() for one in listed}
    assert found["sense right"]["value"] == 1
    assert found["protons called proton"]["value"] == 1
    assert found["distance of start, 68 %"]["value"] < 0.5
    assert abs(found["muon: range energy over true energy - 1, median"]["value"]) < 0.03
    assert abs(found["proton: range energy over true energy - 1, median"]["value"]) < 0.03
    assert found["photons called photon"]["value"] > 0.8
    assert found["true tracks found"]["value"] == 1
    assert found["vertices of two primaries and more within 3 cm"]["value"] == 1
    ratio = found["dE/dx over that of a proton, mean, 2 to 30 cm before it stops"]
    assert ratio["value"] == pytest.approx(1, abs=0.03)


def test_particles_are_made_where_the_file_has_none(output, tmp_path):
    bare = write(tmp_path / "bare.h5", build=False)
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one = analyse_file(output, tmp_path / "one", ["tracks"])
    assert analyse_file(bare, tmp_path / "other", ["tracks"]) == one
    assert (tmp_path / "one" / "tracks.csv").read_bytes() == (tmp_path / "other" / "tracks.csv").read_bytes()


def test_without_truth_the_others_are_left_out(tmp_path):
    real = write(tmp_path / "real.h5", without=("instances_true", "semantics_true", "particles_true"))
    found = analyse_file(real, tmp_path)
    assert list(found) == ["dedx", "michel", "pi0"]
    missing = json.loads((tmp_path / "numbers.json").read_text())["missing"]
    assert set(missing) == set(SUBJECTS) - set(found)
    assert "has no true particles" in missing["tracks"]
    with pytest.raises(UserError, match=r"real\.h5: has no true particles"):
        analyse_file(real, tmp_path, ["tracks"])


def test_truth_without_kinds_and_parents(tmp_path):
    found = analyse_file(write(tmp_path / "out.h5", without=("particles_true",)), tmp_path)
    assert "efficiency" in found
    assert "tracks" not in found
    assert not (tmp_path / "tracks.png").exists()
    assert "tracks: left out" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_file_whose_particles_are_in_no_figure(tmp_path):
    """Some voxels that are far too few for a particle: every figure is there, and empty."""
    event = drawn_event(0)
    few = {name: rows[:9] if len(rows) == len(event["coordinates"]) else rows for name, rows in event.items()}
    few = {name: rows for name, rows in few.items() if name != "particles_true"}
    with HDF5Writer(tmp_path / "few.h5", {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}) as writer:
        writer.append(few | ParticleBuilder()(few, PILARNET))
    found = analyse_file(tmp_path / "few.h5", tmp_path)
    assert found["efficiency"][0].count == 0
    json.loads((tmp_path / "numbers.json").read_text())


def test_mistakes_are_one_line(output, tmp_path, monkeypatch, capsys):
    assert main(["analyse", str(output), "-o", str(tmp_path), "--only", "trakcs"]) == 2
    assert capsys.readouterr().err == "mlreco: error: no analysis 'trakcs'; did you mean 'tracks'?\n"
    assert main(["analyse", str(tmp_path / "none.h5"), "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["analyse", str(output), "-o", str(output)]) == 2
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["analyse", str(output), "-o", str(tmp_path)]) == 2
    assert "pip install 'mlreco[analysis]'" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


def test_each_has_a_script():
    folder = Path(__file__).parents[2] / "analysis"
    assert {path.stem for path in folder.glob("*.py")} == set(SUBJECTS)
    found = subprocess.run([sys.executable, folder / "pi0.py", "--help"], capture_output=True, text=True, check=True)
    assert "usage: pi0.py OUTPUT.h5 -o DIR" in found.stdout


def test_a_script_does_what_the_command_does(output, tmp_path, capsys):
    assert run("michel", [str(output), "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("michel: end point")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.html",
        "michel.csv",
        "michel.html",
        "michel.png",
        "numbers.json",
    ]
