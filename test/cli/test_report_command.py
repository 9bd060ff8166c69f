"""``mlreco report`` on a file with two small events."""

import numpy as np

from mlreco.cli import main
from mlreco.iotools import HDF5Writer


def event(seed):
    rng = np.random.default_rng(seed)
    rows = 60
    labels = np.repeat([0, 1, 2], 20).astype(np.int32)
    return {
        "coordinates": np.unique(rng.integers(0, 64, (400, 3)), axis=0)[:rows].astype(np.int32),
        "energies": rng.random(rows).astype(np.float32),
        "semantics": (labels > 1).astype(np.int8),
        "semantics_true": (labels > 1).astype(np.int8),
        "instances_true": labels,
        "fragments": np.where(labels == 1, 0, labels).astype(np.int32),
        "embeddings": rng.normal(size=(rows, 3)).astype(np.float32),
        "margins": rng.random(rows).astype(np.float32),
        "seediness": rng.random(rows).astype(np.float32),
        "event_id": np.array([[1, 0, seed]]),
        "source": np.array([[0, seed]]),
        "image_shape": np.array([[64, 64, 64]]),
        "image_origin": np.zeros((1, 3)),
        "voxel_size": np.full((1, 3), 0.3),
        "times": np.array([[0.1, 0.2, 0.3]], np.float32),
    }


def test_report_writes_one_page(tmp_path, capsys):
    info = {"class_scheme": "pilarnet", "classes": ["HIP", "MIP", "Shower", "Delta", "Michel"], "thresholds": "{}"}
    info |= {"source_files": '["events.h5"]'}
    with HDF5Writer(tmp_path / "output.h5", info, {"times": ["io", "network", "post_processing"]}) as writer:
        for seed in range(2):
            writer.append(event(seed))
    page = tmp_path / "pages" / "report.html"
    assert main(["report", str(tmp_path / "output.h5"), "-o", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert "HIP" in text and "<html" in text and 'src="http' not in text
    assert "<b>2</b>" in page.read_text() and (tmp_path / "pages" / "report_events.html").exists()
    assert main(["report", str(tmp_path / "output.h5"), "-n", "1:2", "-o", str(page)]) == 0
    text = page.read_text()
    assert "events <b>1 of 2, from 1 to 1</b>" in text and "Event 1 (" in text and "Event 0 (" not in text
    assert main(["report", str(tmp_path / "output.h5"), "-n", "5:6", "-o", str(page)]) == 2
    assert "no event 5; the file has 2, counted from 0" in capsys.readouterr().err


def test_report_of_a_missing_file(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none.h5")]) == 2
    assert "none.h5" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
