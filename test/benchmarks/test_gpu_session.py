"""The steps of a session on a GPU: each runs whatever became of the one before, and the report is there after each."""

from benchmarks import gpu_session
from benchmarks.gpu_session import Step
from mlreco.config import load_config
from mlreco.inference import run_inference

CHAIN = gpu_session.ROOT / "config/chain.cfg"
TINY = [
    "model.modules.uresnet={filters: 4, depth: 2, reps: 1}",
    "model.modules.spice={filters: 4, depth: 2, reps: 1, semantics: predicted}",
    "iotool.num_workers=0",
]


def said(path):
    return [path.read_text().strip()]


def fails(path):
    raise ValueError("half written")


def test_a_step_that_fails_or_hangs_does_not_keep_the_next_from_running(tmp_path, monkeypatch, capsys):
    hangs = "import time; print('begun', flush=True); time.sleep(600)"
    chosen = [
        Step("good", ["-c", "print('fine')"], 60, said),
        Step("bad", ["-c", "raise SystemExit(3)"], 60, fails),
        Step("slow", ["-c", hangs], 1, said),
        Step("last", ["-c", "print('there')"], 60, said),
    ]
    monkeypatch.setattr(gpu_session, "steps", lambda *given: iter(chosen))
    assert gpu_session.main([str(tmp_path)]) == 2
    report = (tmp_path / "session.md").read_text()
    assert "## good\n\nexit status 0 after" in report and "fine" in report
    assert "exit status 3 after" in report and "cannot be read: ValueError: half written" in report
    assert "out of time" in report and "begun" in report
    assert report.rstrip().endswith("there") and "there" in capsys.readouterr().out
    assert gpu_session.main([str(tmp_path), "--only", "last", "--minutes", "0.001"]) == 1
    assert "left out: no time was left" in (tmp_path / "session.md").read_text()


def test_the_steps_are_those_of_the_order_and_a_training_is_told_by_its_numbers(tmp_path):
    chosen = {step.name: step for step in gpu_session.steps(tmp_path, gpu_session.SAMPLE, "", quick=True)}
    trainings = [f"train-{name}" for name in ("float32", "fp16", "bf16")]
    assert list(chosen) == ["tests", "benchmark", *trainings, "inference-1", "inference-16"]
    step, said = chosen["train-float32"], tmp_path / "train-float32.log"
    assert gpu_session.run(step, tmp_path, 300).startswith("exit status 0 "), said.read_text()
    (line,) = step.found(said)
    assert line.startswith("loss ") and "after 2; " in line and "waiting" in line
    assert chosen["train-fp16"].found(said) == [said.read_text().strip().splitlines()[-1]]


def test_an_inference_is_told_by_the_times_of_its_events(tmp_path, untrained_weights):
    config = load_config(CHAIN, [*TINY, "iotool.dataset.entry_range=[0, 2]"], sources=[gpu_session.SAMPLE])
    run_inference(config, tmp_path / "inference-16.h5", weights=untrained_weights(TINY))
    *_, step = gpu_session.steps(tmp_path, gpu_session.SAMPLE, "", quick=True)
    (line,) = step.found(tmp_path / "inference-16.log")
    assert line.startswith("2 events of ") and "network " in line and "post_processing" in line
