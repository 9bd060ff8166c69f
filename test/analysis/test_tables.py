import csv
import sys

import numpy as np
import pytest

from mlreco.analysis.tables import export_tables
from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.iotools import HDF5Writer
from mlreco.semantics import PILARNET

HEAD = "entry,run,subrun,event,particle,semantic,class,"


def make_event(rng, count):
    """Voxels in four particles, some in none, with true instances."""
    grid = np.stack(np.unravel_index(rng.choice(8**3, count, replace=False), (8, 8, 8)), axis=1)
    return {
        "coordinates": grid.astype(np.int32),
        "energies": rng.random(count).astype(np.float32),
        "semantics": rng.integers(0, 5, count).astype(np.int8),
        "fragments": rng.integers(-1, 3, count).astype(np.int32),
        "semantics_true": rng.integers(0, 5, count).astype(np.int8),
        "instances_true": rng.integers(-1, 4, count).astype(np.int32),
        "margins": np.full(count, 0.5, np.float32),
        "event_id": np.array([[1, 2, count]]),
        "source": np.array([[0, count]]),
        "image_shape": np.array([[8, 8, 8]]),
        "image_origin": np.array([[-1.0, 2.0, 3.0]]),
        "voxel_size": np.array([[0.3, 0.3, 0.4]]),
        "times": np.array([[1.0, 2.0]], np.float32),
    }


def write(path, counts, **changes):
    rng = np.random.default_rng(4)
    events = [make_event(rng, count) | {k: v[:count] for k, v in changes.items()} for count in counts]
    info = {"class_scheme": "pilarnet", "classes": list(PILARNET.classes), "source_files": '["a.h5"]'}
    with HDF5Writer(path, info, {"times": ("io", "post_processing")}) as writer:
        for event in events:
            writer.append(event)
    return events


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_against_sums_over_masks(tmp_path):
    events = write(tmp_path / "out.h5", (40, 0, 25))
    assert export_tables(tmp_path / "out.h5", tmp_path) == {
        "events.csv": 3,
        "particles.csv": 6,
        "interactions.csv": len(read(tmp_path / "interactions.csv")),
        "particles_true.csv": 8,
        "skipped.csv": 0,
    }
    rows, fragments = read(tmp_path / "events.csv"), read(tmp_path / "particles.csv")
    for index, (row, event) in enumerate(zip(rows, events, strict=True)):
        assert (int(row["entry"]), int(row["event"]), row["source_file"]) == (index, len(event["energies"]), "a.h5")
        assert int(row["voxels"]) == len(event["energies"])
        assert float(row["energy"]) == pytest.approx(event["energies"].sum(), rel=1e-6)
        assert int(row["voxels_without_particle"]) == (event["fragments"] == -1).sum()
        assert int(row["instances_true"]) == len(set(event["instances_true"].tolist()) - {-1})
        for number, name in enumerate(PILARNET.classes):
            assert int(row[f"voxels_{name}"]) == (event["semantics"] == number).sum()
        assert float(row["seconds_io"]) == 1
        mine = [fragment for fragment in fragments if int(fragment["entry"]) == index]
        assert int(row["particles"]) == len(mine)
        for fragment in mine:
            members = event["fragments"] == int(fragment["particle"])
            assert int(fragment["voxels"]) == members.sum()
            assert float(fragment["energy"]) == pytest.approx(event["energies"][members].sum(), rel=1e-6)
            assert fragment["class"] == PILARNET.classes[int(fragment["semantic"])]
            centre = event["coordinates"][members].mean(axis=0)
            cm = event["image_origin"][0] + (centre + 0.5) * event["voxel_size"][0]
            assert [float(fragment[f"centroid_{axis}"]) for axis in "xyz"] == pytest.approx(cm.tolist(), rel=1e-5)
            match = int(fragment["true_particle"])
            overlap = (members & (event["instances_true"] == match)).sum()
            assert overlap == max((members & (event["instances_true"] == true)).sum() for true in range(4))
            assert float(fragment["purity"]) == pytest.approx(overlap / members.sum(), rel=1e-6)
            assert int(fragment["true_voxels"]) == (event["instances_true"] == match).sum()
            assert float(fragment["margin"]) == pytest.approx(0.5)


def test_pandas_reads_numbers(tmp_path):
    pandas = pytest.importorskip("pandas")
    write(tmp_path / "out.h5", (40, 0, 25))
    export_tables(tmp_path / "out.h5", tmp_path)
    table = pandas.read_csv(tmp_path / "particles.csv")
    assert table.groupby("class").energy.sum().sum() > 0
    assert [name for name in table if table[name].dtype.kind not in "if"] == ["class", "true_class"]


@pytest.mark.parametrize("group", [2, 1 << 16])
def test_parquet_holds_what_the_csv_tells(tmp_path, monkeypatch, group):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("mlreco.iotools.output.table_files._ROW_GROUP", group)
    write(tmp_path / "out.h5", (0, 40, 0, 25, 7))
    counts = export_tables(tmp_path / "out.h5", tmp_path)
    assert export_tables(tmp_path / "out.h5", tmp_path, "parquet") == {
        name.replace("csv", "parquet"): rows for name, rows in counts.items()
    }
    for name in ("events", "particles", "interactions", "particles_true", "skipped"):
        table = parquet.read_table(tmp_path / f"{name}.parquet")
        with open(tmp_path / f"{name}.csv", newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert table.column_names == header
        for number, column in enumerate(table.columns):
            texts = [row[number] for row in rows]
            if column.type in ("string", "large_string"):
                assert column.to_pylist() == texts
            else:
                numbers = [float(text or "nan") for text in texts]
                np.testing.assert_allclose(column.to_numpy(), numbers, rtol=1e-6)
    assert (parquet.ParquetFile(tmp_path / "particles.parquet").num_row_groups > 1) == (group == 2)


def test_parquet_without_pyarrow_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write(tmp_path / "out.h5", (5,))
    assert main(["export", str(tmp_path / "out.h5"), "--parquet", str(tmp_path)]) == 2
    assert "Parquet needs the package 'pyarrow'" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "out.h5")]) == 2
    assert capsys.readouterr().err == "mlreco: error: export: say --csv DIR, --parquet DIR or --spine FILE\n"
    assert not list(tmp_path.glob("*.parquet"))


def test_no_fragments_still_gives_the_names(tmp_path):
    events = write(tmp_path / "out.h5", (5,), fragments=np.full(5, -1, np.int32))
    assert export_tables(tmp_path / "out.h5", tmp_path) == {
        "events.csv": 1,
        "particles.csv": 0,
        "interactions.csv": 0,
        "particles_true.csv": len(set(events[0]["instances_true"].tolist()) - {-1}),
        "skipped.csv": 0,
    }
    assert (tmp_path / "particles.csv").read_text().startswith(HEAD)


def test_mistakes(tmp_path):
    with HDF5Writer(tmp_path / "bare.h5", {}) as writer:
        writer.append({"energies": np.ones(3)})
    with pytest.raises(UserError, match=r"bare\.h5: no product 'coordinates'; the tables need"):
        export_tables(tmp_path / "bare.h5", tmp_path)
    write(tmp_path / "none.h5", ())
    with pytest.raises(UserError, match="none"):
        export_tables(tmp_path / "none.h5", tmp_path)
    write(tmp_path / "out.h5", (5,))
    with pytest.raises(UserError, match=r"cannot write .*events\.csv: the folder does not exist"):
        export_tables(tmp_path / "out.h5", tmp_path / "no")
    assert not list(tmp_path.glob("*.csv"))


def test_command(tmp_path, capsys):
    write(tmp_path / "out.h5", (5, 9))
    folder = tmp_path / "new" / "csv"
    assert main(["export", str(tmp_path / "out.h5"), "--csv", str(folder)]) == 0
    assert capsys.readouterr().out.startswith(f"{folder}/events.csv: 2 rows\n{folder}/particles.csv: ")
    assert main(["export", str(tmp_path / "out.h5"), "--csv", str(tmp_path / "out.h5")]) == 2
    assert capsys.readouterr().err == f"mlreco: error: {tmp_path}/out.h5: cannot be made: File exists\n"
