"""Inference of whole events, from file to file, beside the network alone."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.images import SAMPLE
from benchmarks.measurement import OURS, Measurement, Settings
from benchmarks.network import for_inference
from benchmarks.timing import Contender, interleave
from mlreco.config import load_config
from mlreco.inference import run_inference
from mlreco.iotools import loader_factory
from mlreco.models.assembly import build_chain

TITLE = "Inference from file to file: reading, network, clusterer, writing; with the shipped weights"
_FILES = {"fat events": ("fat.cfg", 100), "thin events": ("thin.cfg", 100)}
_NETWORK = "its network alone"
_ROUNDS = 3


def measure(settings: Settings) -> Iterator[Measurement]:
    """Time the whole and, in turns with it, the network on events that are in memory already."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (file, events) in _FILES.items():
            if settings.quick and name == "fat events":
                continue
            count = 2 if settings.quick else events
            config = _config(file, count)
            whole = _whole(config, Path(folder) / "output.h5")
            alone, voxels = _network(config)
            pair = ((OURS, whole), (_NETWORK, alone))
            case = f"{count} {name}"
            contenders = [Contender(case, who, run, voxels, n) for n in settings.threads for who, run in pair]
            found = interleave(contenders, replace(settings, rounds=min(settings.rounds, _ROUNDS)), single=True)
            for one, network in zip(found[::2], found[1::2], strict=True):
                yield replace(one, note=f"{_extra(one, network):+.0%} on the network")
                yield replace(network, compared=False)


def _extra(whole: Measurement, network: Measurement) -> float:
    """Return how much longer the whole takes than its network, by the median of neighbouring turns.

    A turn takes ten seconds, in which the machine is never undisturbed: least values of the two would not belong
    together.
    """
    return statistics.median(a / b for a, b in zip(whole.values, network.values, strict=True)) - 1


def _config(file: str, events: int) -> Any:
    chosen = [index % 2 for index in range(events)]
    return load_config(SAMPLE.parent / file, [f"iotool.dataset.event_list={chosen}"])


def _whole(config: Any, output: Path) -> Callable[[], object]:
    return lambda: run_inference(config, output)


def _network(config: Any) -> tuple[Callable[[], object], int]:
    """Return what runs the network on all events, and their number of voxels."""
    chain = for_inference(build_chain(config)[0])
    with loader_factory(config["iotool"], train=False, class_scheme=config["model"]["class_scheme"]) as loader:
        batches = list(loader)

    @torch.inference_mode()
    def run() -> None:
        for batch in batches:
            chain(batch)

    return run, sum(len(batch[chain.network_input]) for batch in batches)
