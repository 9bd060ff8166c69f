"""What the loss costs of a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.images import SAMPLE
from benchmarks.measurement import OURS, Measurement, Settings
from benchmarks.timing import Contender, interleave
from mlreco.config import load_config
from mlreco.iotools import loader_factory
from mlreco.models.chain import Chain, ChainLoss

TITLE = "Training step of SPICE with its loss"
_CONFIG = SAMPLE.parent / "spice_cpu.cfg"
_LOSS = "its loss"
_SPICE = "model.modules.spice"


@dataclass(frozen=True)
class Task:
    """What is trained: events of a file, and the size of the network."""

    name: str
    file: str
    events: int
    filters: int
    depth: int = 6


TASKS = (Task("thin events", "thin_sample.h5", 4, 16), Task("fat events", "fat_sample.h5", 1, 32))
_QUICK = (Task("thin events", "thin_sample.h5", 1, 4, 3),)


def measure(settings: Settings) -> Iterator[Measurement]:
    """Time a whole step and, in turns with it, forward and backward pass of the loss alone."""
    for task in _QUICK if settings.quick else TASKS:
        for mask_loss in ("bce", "lovasz_hinge"):
            contenders = list(_contenders(task, mask_loss, settings.threads[-1]))
            whole, alone = interleave(contenders, settings)
            yield whole
            yield replace(alone, note=f"{alone.least / whole.least:.1%} of the step", compared=False)


def _contenders(task: Task, mask_loss: str, threads: int) -> Iterator[Contender]:
    sizes = [f"{_SPICE}.filters={task.filters}", f"{_SPICE}.depth={task.depth}", f"iotool.batch_size={task.events}"]
    choice = [f"{_SPICE}_loss.mask_loss={mask_loss}", "iotool.num_workers=0", *sizes]
    config = load_config(_CONFIG, choice, sources=[str(SAMPLE / task.file)])
    with loader_factory(config["iotool"], train=False, class_scheme=config["model"]["class_scheme"]) as loader:
        batch = next(iter(loader))
    torch.manual_seed(0)
    chain, loss = Chain.from_config(config["model"]).train(), ChainLoss.from_config(config["model"])
    voxels = len(batch[chain.network_input])
    case = f"{task.events} {task.name}, {task.filters} filters, {mask_loss}"
    for name, run in ((OURS, _step(chain, loss, batch)), (_LOSS, _loss_alone(chain, loss, batch))):
        yield Contender(case, name, run, voxels, threads)


def _step(chain: Chain, loss: ChainLoss, batch: Mapping[str, Any]) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(chain.parameters(), lr=1e-4, fused=True)

    def run() -> None:
        products = chain(batch)
        total = loss(products, products["labels"])["loss"]
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(chain.parameters(), 5.0)
        optimiser.step()

    return run


def _loss_alone(chain: Chain, loss: ChainLoss, batch: Mapping[str, Any]) -> Callable[[], None]:
    with torch.no_grad():
        products = chain(batch)
    outputs = {name: products[name].detach().requires_grad_() for name in ("embeddings", "margins", "seediness")}
    products = {**products, **outputs}

    def run() -> None:
        loss(products, products["labels"])["loss"].backward()

    return run
