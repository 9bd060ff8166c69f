"""The benchmarks run, compare like with like and count right."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import children, event_files, fma_peak, images, peers, report, timing
from benchmarks.__main__ import main
from benchmarks.measurement import OURS, Measurement, Settings
from benchmarks.network import forward, forward_flops, network
from benchmarks.peers.network import PeerSpice, copy_parameters
from benchmarks.subjects import memory, reading, start
from benchmarks.timing import Contender, interleave
from mlreco.iotools import open_reader
from mlreco.iotools.interface import read_product


def test_a_quick_run_writes_table_and_json(tmp_path, capsys):
    subjects = ["engine", "scaling", "clusterer", "losses", "events", "reading"]
    main([*subjects, "--quick", "--output", str(tmp_path), "--threads", "1"])
    document = json.loads((tmp_path / "speed.json").read_text())
    assert document["machine"]["cpu"]
    cases = {(m["case"], m["contender"]) for m in document["measurements"]["engine"]}
    assert {("inference", OURS), ("training step", OURS), ("training step", "plain torch")} <= cases
    assert list(document["measurements"]) == subjects
    for name, measurements in document["measurements"].items():
        assert measurements, name
        assert all(value > 0 for m in measurements for value in m["values"]), name
    table = (tmp_path / "speed.md").read_text()
    assert "| training step | 200 | 1 | plain torch |" in table
    assert "training step" in capsys.readouterr().out


def test_memory_is_that_of_a_process_of_its_own():
    ballast = np.ones(200_000_000, np.uint8)
    (peak,) = memory.measure(Settings(quick=True))
    assert peak.unit == "MB"
    assert 50 < peak.least < memory.peak_megabytes() - 100
    del ballast


def test_a_start_is_measured_first_without_and_then_with_kept_code(monkeypatch):
    caches = []

    def run(words, environment):
        caches.append(list(Path(environment["NUMBA_CACHE_DIR"]).glob("*")))
        Path(environment["NUMBA_CACHE_DIR"], "code").mkdir(parents=True, exist_ok=True)
        return "", 0.5

    monkeypatch.setattr(children, "run", run)
    found = list(start.measure(Settings(threads=(1,))))
    assert [m.case for m in found] == [
        f"{c}, {w}" for c in ("inference", "training") for w in ("first start", "later starts")
    ]
    assert [bool(kept) for kept in caches] == [False, True, True, True] * 2


def test_an_unknown_subject_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["engin"])
    assert "no subject 'engin'" in capsys.readouterr().err


def test_contenders_take_turns():
    calls = []
    contenders = [Contender("case", name, lambda name=name: calls.append(name)) for name in "ab"]
    found = interleave(contenders, Settings(rounds=2, quick=True))
    assert calls == ["a", "b"] * 3
    assert [len(m.values) for m in found] == [2, 2]


def test_single_calls_belong_together_however_short_they_are():
    contenders = [Contender("case", "quick", int), Contender("case", "slow", lambda: time.sleep(0.01))]
    found = interleave(contenders, Settings(rounds=3), single=True)
    assert [len(m.values) for m in found] == [3, 3]


@pytest.mark.parametrize("count", [1, 500, 13_218, 19_738, 60_000])
def test_images_have_the_voxels_asked_for_sorted_and_once(count):
    voxels = images.voxels(count).numpy()
    assert voxels.shape == (count, 4)
    keys = np.ravel_multi_index(voxels[:, 1:].T, (images.EDGE,) * 3)
    assert (np.diff(keys) > 0).all()


def test_operations_of_a_dense_image_are_those_of_dense_convolutions():
    cube = torch.cartesian_prod(torch.zeros(1, dtype=torch.long), *[torch.arange(4)] * 3)
    pairs = (3 * 4 - 2) ** 3
    fine, coarse = 64, 8
    filters = 4
    encoder = pairs * (4 * filters + 4 * filters**2) + 8**1 * coarse * filters * 2 * filters
    encoder += (3 * 2 - 2) ** 3 * 4 * (2 * filters) ** 2
    decoder = coarse * 8 * 2 * filters * filters + pairs * (2 * filters * filters + 3 * filters**2)
    decoder += fine * 2 * filters * filters
    heads = fine * filters * (4 + 1)
    net = network(filters, 2)
    assert forward_flops(net, cube, torch.ones(fine, 4)) == 2 * (encoder + 2 * decoder + heads)


def test_no_engine_beats_the_peak():
    (peak,) = fma_peak.measure(Settings(rounds=3))
    assert 1e9 < peak.flops / peak.least < 1e12


def test_a_turn_has_several_calls_that_count_unless_one_takes_long(monkeypatch):
    calls = []
    contender = Contender("case", "a", lambda: calls.append(time.sleep(0.02)))
    monkeypatch.setattr(timing, "_TURN", 0.03)
    (found,) = timing.interleave([contender], Settings(rounds=2))
    assert len(found.values) == 2 * 3
    assert len(calls) == 1 + 2 * 4
    monkeypatch.setattr(timing, "_LONG", 0.01)
    (found,) = timing.interleave([contender], Settings(rounds=2))
    assert len(found.values) == 2


def test_the_peak_is_the_highest_of_all_turns():
    turns = [Measurement(fma_peak.CASE, "registers only", 0, 2, (t,), flops=10.0) for t in (4.0, 2.0, 5.0)]
    assert report.peaks(turns) == {2: 5.0}


def test_ratios_are_those_of_least_times_at_the_same_and_at_all_threads():
    ours = [Measurement("a", OURS, 10, n, (2.0 / n, 5.0)) for n in (1, 2)]
    theirs = Measurement("a", "peer", 10, 1, (7.0, 6.0))
    measured = [*ours, theirs, Measurement("a", OURS, 20, 2, (0.1,))]
    assert report.ratio(theirs, measured, 1) == 3.0
    assert report.ratio(theirs, measured, None) == 6.0
    assert report.ratio(ours[0], measured, None) is None


@pytest.mark.skipif("spconv" not in dict(peers.installed()), reason="needs spconv")
def test_the_network_of_spconv_is_ours():
    coordinates, features = images.voxels(300), images.features(300)
    ours = network(6, 3)
    theirs = PeerSpice(dict(peers.installed())["spconv"], 6, 3)
    copy_parameters(ours, theirs)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours_out, theirs_out = forward(ours, coordinates, features), theirs(coordinates, features, images.EDGE)
        for outputs in (ours_out, theirs_out):
            sum(output.square().sum() for output in outputs).backward()
    finally:
        torch.set_num_threads(before)
    for mine, other in zip(ours_out, theirs_out, strict=True):
        torch.testing.assert_close(other, mine, rtol=1e-4, atol=1e-5)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(other.grad, mine.grad, rtol=1e-3, atol=1e-4 * float(mine.grad.abs().max()) + 1e-6)


def test_the_made_root_file_holds_the_events_it_was_made_of(tmp_path):
    pytest.importorskip("uproot")
    made, source = open_reader(event_files.larcv2(tmp_path / "events.root", 12)), open_reader(event_files.SOURCE)
    assert len(made) == 12
    for index in (0, 11):
        for product in reading.ROOT_PRODUCTS:
            one, other = read_product(made, index, product), read_product(source, index % 2, product)
            for name in ("coordinates", "features", "values", "sets"):
                np.testing.assert_array_equal(getattr(one, name, 0), getattr(other, name, 0))
