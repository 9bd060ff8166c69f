"""Logs read back, and the page of their curves."""

import json
import os
import re

import numpy as np
import pytest

from mlreco.cli import main
from mlreco.errors import UserError
from mlreco.training.log import CSVLog
from mlreco.visualization.curves import MOST_POINTS, SMOOTHED_OVER, curves_page, running_mean
from mlreco.visualization.training_logs import read_run


def write(folder, first, rows, name="train_log"):
    with CSVLog(folder, first, name=name) as log:
        for row in rows:
            log.record(row)
    return log.path


def test_of_an_iteration_in_two_files_the_newer_one_tells(tmp_path):
    write(tmp_path, 0, [{"iter": n, "loss": 1.0 / n, "accuracy": float("nan")} for n in (1, 2, 3)])
    path = write(tmp_path, 2, [{"iter": n, "loss": 10.0, "accuracy": 0.5} for n in (3, 4)])
    path.write_text(path.read_text() + "5,0.")  # killed while it was written
    write(tmp_path, 0, [{"iter": 2, "loss": 0.7}], name="validation_log")
    run = read_run(tmp_path)
    assert run.training["iter"].tolist() == [1, 2, 3, 4]
    assert run.training["loss"].tolist() == [1.0, 0.5, 10.0, 10.0]
    assert np.isnan(run.training["accuracy"][:2]).all() and run.training["accuracy"][2] == 0.5
    assert run.validation["loss"].tolist() == [0.7]


def figures(page):
    return json.loads(re.search(r'id="figures">(.*?)</script>', page)[1])


def test_a_page_has_a_curve_for_every_run_and_number(tmp_path):
    for name, scale in (("a<b", 1.0), ("c", 2.0)):
        rows = [{"iter": n + 1, "loss": scale / (n + 1), "lr": 0.1} for n in range(4000)]
        write(tmp_path / name, 0, rows)
    write(tmp_path / "c", 0, [{"iter": 4000, "loss": 0.5, "ari_all": 0.25}], name="validation_log")
    page = curves_page([read_run(tmp_path / "a<b"), read_run(tmp_path / "c")])
    found = figures(page)
    assert set(found) == {"loss", "lr", "ari_all"}
    first, mean, second, _, validation = found["loss"]["data"]
    assert len(first["x"]) == MOST_POINTS and first["line"]["color"] != second["line"]["color"]
    assert np.mean(first["y"]) == pytest.approx(np.mean(1.0 / np.arange(1, 4001)), rel=0.15)
    width = MOST_POINTS // SMOOTHED_OVER
    assert mean["x"] == first["x"] and mean["y"][700] == pytest.approx(np.mean(first["y"][650:750]), rel=1e-3)
    assert width == 100 and mean["y"][0] == pytest.approx(np.mean(first["y"][: width // 2]), rel=1e-4)
    assert validation["x"] == [4000] and validation["y"] == [0.5]
    assert "a&lt;b" in page and "http" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_the_command(tmp_path, capsys):
    log = write(tmp_path / "run", 0, [{"iter": 1, "loss": 0.5}])
    assert main(["log", str(tmp_path / "run"), "-o", str(tmp_path / "x.html")]) == 0
    assert figures((tmp_path / "x.html").read_text())["loss"]["data"][0]["y"] == [0.5]
    assert main(["log", str(log), "-o", str(log)]) == 2 and "is an input" in capsys.readouterr().err
    assert main(["log", str(tmp_path / "run"), "-o", str(log)]) == 2 and "is an input" in capsys.readouterr().err


def test_only_regular_files_are_read(tmp_path):
    """A named pipe would be waited for without an end."""
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(UserError, match=r"x.csv: is a named pipe, not a file with the log of a training"):
        read_run(tmp_path / "x.csv")


NO_LOGS = ["", "a,b\n1,2\n", "iter,loss\n1,x\n2,3\n", "iter,loss\n1\n2,3\n", "\0\xff", f"iter,loss\n{'9' * 400},1\n"]


@pytest.mark.parametrize("text", NO_LOGS)
def test_what_is_no_log_is_refused(tmp_path, text):
    (tmp_path / "x.csv").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"x.csv: (no log of a training|cannot be read)"):
        read_run(tmp_path / "x.csv")
    with pytest.raises(UserError, match=r"holds no log of a training"):
        read_run(tmp_path)


@pytest.mark.parametrize(("count", "width"), [(1, 1), (5, 3), (6, 4), (3, 9)])
def test_a_running_mean_is_that_of_the_values_around(count, width):
    values = np.random.default_rng(count).random(count)
    slow = [values[max(n - width // 2, 0) : n - width // 2 + width].mean() for n in range(count)]
    assert running_mean(values, width) == pytest.approx(slow)


def test_a_training_that_ended_before_its_first_report_does_not_hide_the_others(tmp_path):
    (tmp_path / "train_log-0000000.csv").touch()
    with pytest.raises(UserError, match=r"holds no log of a training"):
        read_run(tmp_path)
    (tmp_path / "train_log-0000000_1.csv").write_text("iter,loss\n2,1.5\n")
    assert read_run(tmp_path).training["loss"].tolist() == [1.5]
