import shutil
from pathlib import Path

import h5py
import pytest

from mlreco import shipped
from mlreco.cli import main

GENUINE = Path(__file__).parents[1] / "iotools" / "genuine"


@pytest.mark.parametrize(("name", "kind"), [("events.h5", "LArCV3"), ("larcv2.root", "LArCV2")])
def test_events(name, kind, capsys):
    if kind == "LArCV2":
        pytest.importorskip("uproot")
    assert main(["info", str(GENUINE / name)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{GENUINE / name}: {kind}, 5 events, 0.")
    assert lines[0] == "  image: 9 x 7 x 5 voxels of 0.3 x 0.3 x 0.3 cm"
    text = dict(line.split(maxsplit=1) for line in lines[1:])
    assert text["sparse3d_pcluster"].startswith("voxels per event: mean 18.8, spread 21.1, max 55; values 0.0")
    assert text["sparse3d_pcluster_semantics"].endswith("values -1 to 4")
    assert text["cluster3d_pcluster"].startswith("sets per event: mean 2.4, ")
    assert text["particle_pcluster"] == "particles per event: mean 2.2, spread 1.6, max 5"
    assert lines[-1].startswith("  instances per event in cluster3d_pcluster (pilarnet): HIP ")


def test_first_events_only(capsys):
    assert main(["info", str(GENUINE / "events.h5"), "--events", "2"]) == 0
    out = capsys.readouterr().out
    assert "voxels per event: mean 18.8" in out
    assert out.endswith("  values and instances are those of the first 2 events\n")


def test_output(tmp_path, capsys):
    import numpy as np

    from mlreco.iotools import HDF5Writer

    path = tmp_path / "out.h5"
    with HDF5Writer(path, {"cfg": "a: 1\nb: 2\n", "thresholds": {"HIP": {"seed": 0.5}}}) as writer:
        for rows in (2, 4):
            writer.append({"energies": np.ones(rows, np.float32), "coordinates": np.zeros((rows, 3), np.int32)})
    assert main(["info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}: output file, 2 events, ") and lines[0].endswith(" MB, complete")
    assert "  cfg: 2 lines" in lines and "  thresholds: HIP seed 0.5" in lines
    assert lines[-2:] == [
        "  coordinates  int32 (3,), rows per event: mean 3.0, spread 1.0, max 4",
        "  energies     float32, rows per event: mean 3.0, spread 1.0, max 4",
    ]
    with h5py.File(path, "a") as file:
        file["info"].attrs["complete"] = False
    assert main(["info", str(path)]) == 0
    assert "INCOMPLETE" in capsys.readouterr().out


def test_mistakes(tmp_path, capsys):
    shutil.copy(GENUINE / "events.h5", tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["Data/sparse3d_pcluster_group/voxels"][0] = (10**6, 1.0)
    assert main(["info", str(tmp_path / "x.h5")]) == 2
    assert "x.h5: event 0: sparse3d_pcluster: voxel id 1000000 lies outside" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "x.h5"), "--class-scheme", "pilarnets"]) == 2
    assert "did you mean 'pilarnet'" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "*.root")]) == 2
    assert "no file matches the pattern" in capsys.readouterr().err


def test_shipped_names_are_described_as_their_files_are(capsys):
    assert main(["info", "thin"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("thin: configuration, ")
    stages = [line.split()[1].rstrip(",") for line in text.splitlines() if line.startswith("  stage ")]
    assert stages == ["uresnet_spice", "fragmenter", "grappa"]
    assert main(["info", str(shipped.weights()["thin"]), "grappa_thin"]) == 0
    checkpoints = capsys.readouterr().out
    assert text.endswith(checkpoints) and checkpoints.count(": checkpoint, weights, ") == 2
    assert main(["info", "sample", "-n", "1"]) == 0
    assert "thin_sample.h5: LArCV3, 20 events" in capsys.readouterr().out


def test_a_file_comes_before_a_shipped_name_and_the_nearest_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(GENUINE / "events.h5", "thin")
    assert main(["info", "thin"]) == 0
    assert capsys.readouterr().out.startswith("thin: LArCV3, 5 events")
    assert main(["info", "grapa_thin"]) == 2
    assert "no file and no shipped name 'grapa_thin'; did you mean 'grappa_thin'?" in capsys.readouterr().err
    assert main(["info", "thin.h5"]) == 2
    assert "thin.h5: no such file" in capsys.readouterr().err


def test_a_refused_command_leaves_no_folder_behind(tmp_path, capsys):
    shutil.copy(GENUINE / "events.h5", tmp_path / "x.h5")
    output = str(tmp_path / "new" / "deep" / "out.h5")
    (tmp_path / "old").mkdir()
    assert main(["inference", "thin", "-s", str(tmp_path / "none.h5"), "-o", output]) == 2
    assert main(["inference", "thin", "-s", str(tmp_path / "none.h5"), "-o", str(tmp_path / "old" / "out.h5")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "x.h5"]
    assert main(["convert", str(tmp_path / "x.h5"), "-o", output]) == 0
    assert (tmp_path / "new" / "deep" / "out.h5").exists()
