from pathlib import Path

from mlreco.cli import main
from mlreco.iotools import open_reader

EVENTS = Path(__file__).parents[1] / "iotools" / "genuine" / "events.h5"


def test_convert(tmp_path, capsys):
    output = tmp_path / "new" / "out.h5"
    assert main(["convert", str(EVENTS), "-o", str(output), "--to", "cache", "--products", "sparse3d_pcluster"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{output}: 5 events in ") and said.out.endswith("; sparse3d_pcluster\n")
    assert len(open_reader(output)) == 5


def test_mistakes(tmp_path, capsys):
    assert main(["convert", str(tmp_path / "no.h5"), "-o", str(tmp_path / "out.h5")]) == 2
    assert capsys.readouterr().err == f"mlreco: error: {tmp_path}/no.h5: no such file\n"
    assert main(["convert", str(EVENTS)]) == 2
    assert "--output" in capsys.readouterr().err
