"""``python -m benchmarks.gpu``: network, clusterer and training on a CUDA device beside the CPU engine.

Kernels of spconv are chosen at the first call of a process, so that TF32 (``--tf32``) takes a run of its own.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from benchmarks import images, machine, report
from benchmarks.measurement import OURS, Measurement, Settings
from benchmarks.network import DEPTH, FILTERS, for_inference, network, training_step
from benchmarks.subjects.clusterer import embedded
from benchmarks.timing import Contender, interleave
from mlreco.atomic import write_text
from mlreco.models.labels import Labels
from mlreco.models.layers.precision import autocast, tf32
from mlreco.post_processing import cluster_events
from mlreco.post_processing.clustering.batched import cluster_batch
from mlreco.post_processing.clustering.fragments import cluster_event
from mlreco.semantics import PILARNET
from mlreco.sparse import Engine, SparseConvTensor, UNetDecoder, UNetEncoder, use_engine
from mlreco.sparse.cuda.engine import CudaEngine

TITLE = "SPICE, 32 filters, 6 levels, 2 decoders"
RESULTS = Path(__file__).resolve().parent / "results"
THRESHOLDS = dict.fromkeys(PILARNET.classes, (0.5, 0.3))
NAMES = ("semantics", "embeddings", "margins", "seediness")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Task:
    """What is computed: some events of the same size in one batch.

    Attributes:
        events: number of events.
        voxels: of each event.
        filters, depth: of the network.
    """

    events: int
    voxels: int = 16_300
    filters: int = FILTERS
    depth: int = DEPTH

    def run(self, device: torch.device, amp: str, training: bool) -> Callable[[], None]:
        """Return an inference or a training step of the network, after which the device has nothing left to do."""
        net = network(self.filters, self.depth).to(device)
        net = net.train() if training else for_inference(net)
        one = images.voxels(self.voxels)
        coordinates = one.repeat(self.events, 1)
        coordinates[:, 0] = torch.arange(self.events).repeat_interleave(self.voxels)
        coordinates, features = coordinates.to(device), images.features(len(coordinates)).to(device)

        def outputs() -> list[torch.Tensor]:
            image = SparseConvTensor(features, coordinates, (images.EDGE,) * 3, self.events)
            with autocast(amp, device):
                products = net({"image": image, "labels": Labels(coordinates[:, 0])})
            return [products[name] for name in NAMES[1:]]

        step = training_step(net, outputs) if training else torch.no_grad()(outputs)
        return waiting(step, device)


def waiting(run: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Return what runs and then waits for the device."""

    def complete() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return complete


def measure(settings: Settings, device: torch.device, device_only: bool = False) -> Iterator[Measurement]:
    """Time inference and the clusterer by event, and a training step; on the device and, unless left out, the CPU.

    A case that fails is told, with its traceback, and left out.
    """

    def wanted(contenders: Sequence[Contender]) -> list[Contender]:
        return [one for one in contenders if not device_only or one.name != OURS]

    network_size = {"filters": 8, "depth": 3} if settings.quick else {}
    threads = settings.threads[-1]
    for voxels, instances in ((200, 5), (300, 10)) if settings.quick else ((3_500, 15), (16_300, 50)):
        for events in (1, 2) if settings.quick else (1, 16):
            task = Task(events, voxels, **network_size)
            for make in (
                partial(_network, task, device, threads, training=False),
                partial(_clusterers, task, instances, device, threads),
            ):
                yield from _unless_it_fails(lambda make=make, n=events: _by_event(wanted(make()), n, settings))
        task = Task(2 if settings.quick else 32, voxels, **network_size)
        yield from _unless_it_fails(
            lambda task=task: _training_steps(wanted(_network(task, device, threads, training=True)), settings)
        )


def _unless_it_fails(measured: Callable[[], Iterable[Measurement]]) -> Iterator[Measurement]:
    try:
        yield from measured()
    except Exception as error:
        traceback.print_exception(error)


def _training_steps(contenders: Sequence[Contender], settings: Settings) -> Iterator[Measurement]:
    for measured in interleave(contenders, replace(settings, rounds=1)):
        yield replace(measured, note=f"{1 / measured.least:.2f} iterations/s")


def _network(task: Task, device: torch.device, threads: int, training: bool) -> list[Contender]:
    what = "training step" if training else "inference, by event"
    case = f"{what}, {task.voxels:,} voxels, batch {task.events}"
    size = task.events * task.voxels
    arithmetic = "TF32" if torch.backends.cuda.matmul.allow_tf32 else "float32"
    names = {f"{OURS} on the device, {arithmetic}": "off"}
    names |= {f"{OURS} on the device, {amp}": amp for amp in ("fp16", "bf16")}
    found = [Contender(case, OURS, task.run(CPU, "off", training), size, threads)]
    found += [Contender(case, name, task.run(device, amp, training), size) for name, amp in names.items()]
    if not training and device.type == "cuda":
        spconv = on_engine(_SpconvAlone(), task.run(device, "off", training))
        found.append(Contender(case, f"spconv on the device, {arithmetic}", spconv, size))
    return found


class _SpconvAlone(CudaEngine):
    """Convolves with spconv in inference, too."""

    def infers_as_a_whole(self, network: UNetEncoder | UNetDecoder, features: torch.Tensor) -> bool:
        """Tell that no encoder or decoder is computed by tables."""
        return False


def on_engine(engine: Engine, run: Callable[[], None]) -> Callable[[], None]:
    """Return what runs on an engine."""

    def call() -> None:
        with use_engine(engine):
            run()

    return call


def _clusterers(task: Task, instances: int, device: torch.device, threads: int) -> list[Contender]:
    """Return the clusterer on the CPU and on the device, with the same events of so many instances."""
    events, arrays = task.events, embedded(task.voxels, instances)
    semantics = np.arange(len(arrays[0])) % len(PILARNET)
    event = dict(zip(NAMES, (semantics, *arrays), strict=True))
    joined = [torch.from_numpy(np.concatenate([event[name]] * events)).to(device) for name in NAMES]
    numbers = torch.arange(events).repeat_interleave(len(semantics)).to(device)
    runs = {
        OURS: lambda: cluster_events([event] * events, THRESHOLDS, PILARNET, threads=threads),
        f"{OURS} on the device": waiting(lambda: cluster_batch(numbers, events, *joined, THRESHOLDS, PILARNET), device),
        f"{OURS} on the host, from the device": lambda: _on_host(numbers, joined, events),
    }
    case = f"clusterer, by event, {task.voxels:,} voxels, batch {events}"
    return [Contender(case, name, run, len(numbers), threads) for name, run in runs.items()]


def _on_host(numbers: torch.Tensor, joined: Sequence[torch.Tensor], events: int) -> None:
    """Cluster the events of a batch on the host, one after the other."""
    arrays = [values.cpu().numpy() for values in joined]
    for first, last in pairwise(np.searchsorted(numbers.cpu().numpy(), range(events + 1))):
        cluster_event(*(values[first:last] for values in arrays), THRESHOLDS, PILARNET)


def _by_event(contenders: Sequence[Contender], events: int, settings: Settings) -> Iterator[Measurement]:
    for measured in interleave(contenders, settings):
        yield replace(measured, values=tuple(value / events for value in measured.values))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, write JSON and a table after every case, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, metavar="FOLDER", help="where results go")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every contender")
    parser.add_argument("--tf32", action="store_true", help="let float32 products round to TF32")
    parser.add_argument("--device-only", action="store_true", help="leave the CPU engine out")
    parser.add_argument("--quick", action="store_true", help="tiny inputs, to see that everything runs")
    arguments = parser.parse_args(words)
    if not torch.cuda.is_available():
        print("no CUDA device")
        return
    settings = Settings(1 if arguments.quick else arguments.rounds, (machine.usable_cpus(),), arguments.quick)
    found = {**machine.describe(), "gpu": torch.cuda.get_device_name(), "tf32": arguments.tf32}
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem = arguments.output / ("gpu_tf32" if arguments.tf32 else "gpu")
    results: dict[str, list[Measurement]] = {"gpu": []}
    text = ""
    with tf32(arguments.tf32):
        for measured in measure(settings, torch.device("cuda", 0), arguments.device_only):
            results["gpu"].append(measured)  # and written at once: the device may be taken away at any time
            text = report.markdown(results, {"gpu": f"{TITLE}, on {found['gpu']}"}, found)
            report.write_json(stem.with_suffix(".json"), results, found, asdict(settings))
            write_text(stem.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
