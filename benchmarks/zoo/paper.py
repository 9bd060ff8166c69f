"""The method of the SPICE paper by itself, as the baseline of a chain: its network, its loss, its greedy rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.zoo import runs

METHOD = "paper"
"""Its name among the methods of a card."""


def measure(checkpoint: Path, tune_events: Path, test_events: Path, work: Path) -> dict[str, Any]:
    """Return what a network of the paper reaches in true classes, which is what the paper clusters in.

    Args:
        checkpoint: of ``spice`` alone, trained with the paper's loss; it carries its configuration.
        tune_events: events on which the thresholds of the greedy rule are tuned.
        test_events: events that the numbers are of.
        work: folder for outputs.
    """
    thresholds = work / f"{METHOD}.yaml"
    output = _reconstruct(checkpoint, tune_events, "{}", work)
    runs.mlreco("tune", output, "--clusterer", "greedy", "--semantics", "true", "-o", thresholds)
    output = _reconstruct(checkpoint, test_events, thresholds, work)
    return runs.evaluate(output, "fragments", work)


def _reconstruct(checkpoint: Path, events: Path, thresholds: Path | str, work: Path) -> Path:
    output = work / f"{METHOD}_{events.stem}.h5"
    clusterer = f"post_processing={{greedy_clusterer: {{thresholds: {thresholds}}}}}"
    runs.mlreco("inference", checkpoint, "-s", events, "-o", output, "--set", clusterer)
    return output
