"""The commands of the program that a card is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.program import ROOT, mlreco
from mlreco.config import load_config

SEMANTICS = ("true", "predicted")
"""In which classes the voxels are clustered."""
TUNED_ON = 600
"""Events at most on which the thresholds of the graph are tuned."""
KEPT = ("classes", "all", "intervals_68", "segmentation", "corrected_classes", "found")
"""What of the numbers of ``mlreco evaluate`` is kept; of the failures their counts."""


@dataclass(frozen=True)
class Zoo:
    """A chain whose thresholds and numbers are wanted.

    Attributes:
        chain: name of its configuration.
        out: folder of the thresholds.
        work: folder for outputs, which become large.
    """

    chain: str
    out: Path
    work: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return ROOT / "config" / f"{self.chain}.cfg"

    def thresholds(self, clusterer: str) -> Path:
        """Return the file of thresholds of a clusterer."""
        return self.out / f"{self.chain}_{clusterer}.yaml"

    def checkpoints(self) -> dict[str, Path]:
        """Return the weights of the chain by stage."""
        modules = load_config(self.config)["model"]["modules"]
        return {name: Path(block["model_path"]) for name, block in modules.items() if block.get("model_path")}

    def graph_thresholds(self, semantics: str) -> Path:
        """Return the file of thresholds of the graph, which has others where it clusters in true classes."""
        return self.thresholds("graph" if semantics == "predicted" else "graph_true")

    def tune(self, events: Path, keep: bool = False) -> None:
        """Tune every clusterer on events, for voxels by their true class.

        The graph is tuned for either classes in which it clusters, the others for true ones.

        Args:
            events: the events.
            keep: leave out what has a file of thresholds.
        """
        for semantics in SEMANTICS:
            wanted = {path: words for path, words in self._tunings(semantics).items() if not (keep and path.is_file())}
            if wanted:
                output = self.reconstruct(events, semantics, "{}", pairs=True)
                for path, words in wanted.items():
                    mlreco("tune", output, "--semantics", "true", *words, "-o", path)

    def _tunings(self, semantics: str) -> dict[Path, list[object]]:
        """Return the files of thresholds that clustering in these classes gives, and the options of ``mlreco tune``."""
        graph = {self.graph_thresholds(semantics): ["--clusterer", "graph", "--events", TUNED_ON]}
        if semantics == "predicted":
            return graph
        others = {self.thresholds(name): ["--clusterer", name] for name in ("linked", "greedy")}
        return {**graph, **others, self.thresholds("dbscan"): ["--baseline", "dbscan"]}

    def measure(self, events: Path) -> dict[str, Any]:
        """Return the numbers of every clusterer by the classes in which was clustered."""
        return {semantics: self._measure(events, semantics) for semantics in SEMANTICS}

    def reconstruct(
        self,
        events: Path,
        semantics: str,
        thresholds: Path | str,
        chosen: str | None = None,
        *,
        pairs: bool = False,
        particles: bool = False,
    ) -> Path:
        """Run the chain on events, clustering in true or predicted classes with these thresholds of the graph.

        Args:
            events: file of events.
            semantics: ``true`` or ``predicted``.
            thresholds: file with those of the graph, or ``{}``.
            chosen: which events, as ``--events`` of the program takes it; all of them without.
            pairs: write what the graph network says of pairs, which its tuning needs.
            particles: write the tables of particles, too.
        """
        output = self.work / f"{events.stem}_{semantics}.h5"
        modules = load_config(self.config)["model"]["modules"]
        words = ["inference", self.config, "-s", events, "-o", output]
        for stage in (name for name, block in modules.items() if "semantics" in block):
            words += ["--set", f"model.modules.{stage}.semantics={semantics}"]
        if pairs:
            words += ["--set", "model.modules.grappa.write_pairs=true"]
        if chosen is not None:
            words += ["--events", chosen]
        more = ", particle_builder: {}" if particles else ""
        mlreco(*words, "--set", f"post_processing={{graph_clusterer: {{thresholds: {thresholds}}}{more}}}")
        return output

    def _measure(self, events: Path, semantics: str) -> dict[str, Any]:
        output = self.reconstruct(events, semantics, self.graph_thresholds(semantics))
        found = {"graph": evaluate(output, "instances", self.work)}
        for clusterer in ("linked", "greedy"):
            again = self.work / f"{clusterer}.h5"
            mlreco("recluster", output, "-o", again, "--thresholds", self.thresholds(clusterer))
            found[clusterer] = evaluate(again, "fragments", self.work)
        found["dbscan"] = baseline(again, "dbscan", self.thresholds("dbscan"), self.work)
        return found


def evaluate(output: Path, product: str, work: Path) -> dict[str, Any]:
    """Return the part of an evaluation that a card needs.

    Args:
        output: file of the chain.
        product: instances or fragments.
        work: folder for the numbers on their way.
    """
    return _kept(_evaluate(output, product, work))


def baseline(output: Path, name: str, values: Path, work: Path) -> dict[str, Any]:
    """Return the part of an evaluation of a baseline, with these values, that a card needs."""
    words = ("--baselines", name, "--baseline-values", values)
    return _kept(_evaluate(output, "fragments", work, *words)["baselines"][name])


def _evaluate(output: Path, product: str, work: Path, *words: object) -> dict[str, Any]:
    numbers = work / "numbers.json"
    mlreco("evaluate", output, "--product", product, "--json", numbers, *words)
    return json.loads(numbers.read_text(encoding="utf-8"))


def _kept(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an evaluation that the card needs."""
    failures = {kind: len(cases) for kind, cases in numbers.get("failures", {}).items()}
    return {name: numbers[name] for name in KEPT if name in numbers} | {"failures": failures}
