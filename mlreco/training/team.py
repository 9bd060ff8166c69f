"""The processes that train one network together, started by ``torchrun``."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from mlreco.errors import UserError
from mlreco.iotools.plan import Shard
from mlreco.training.settings import flattened

GOES_ON, ENDS, FAILED = 0, 1, 2
"""State of a process before an iteration: it goes on, it was told to end, or it cannot go on."""
_LOST = ("gloo", "NCCL", "Connection", "ProcessGroup", "process group")
"""Words in the errors that torch raises when another process is gone."""
_OF_LAUNCHER = "TORCHELASTIC_RUN_ID"
"""Variable by which ``torchrun`` tells the processes that it looks after."""
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Team:
    """The processes of a training; a single process exchanges nothing.

    Attributes:
        rank: number of this process.
        ranks: how many there are.
        local_rank: number of this process on its machine.
        device: where its network runs.
        ranks_here: how many there are on this machine.
        launcher: process that started this one and looks after it; None where none does.
    """

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    device: torch.device = _CPU
    ranks_here: int = 1
    launcher: int | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def has_lost_its_launcher(self) -> bool:
        """Tell whether the launcher was killed, so that nobody would end this process with the others."""
        return self.launcher is not None and os.getppid() != self.launcher

    @property
    def shard(self) -> Shard:
        """The part of every batch that this process trains on."""
        return Shard(self.rank, self.ranks)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        if self.ranks == 1:
            return values
        total = values.detach().clone().to(self.device)
        distributed.all_reduce(total)
        return total.to(values.device)

    def worst(self, status: int) -> int:
        """Return the largest of the numbers that the processes give."""
        if self.ranks == 1:
            return status
        found = torch.tensor([status], device=self.device)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return int(found.item())

    def gathered(self, value: Any) -> list[Any]:
        """Return a plain value of every process, by rank."""
        if self.ranks == 1:
            return [value]
        values: list[Any] = [None] * self.ranks
        distributed.all_gather_object(values, value)
        return values

    def require_same(self, facts: Mapping[str, Any]) -> None:
        """Check that all processes have the same settings and data.

        Args:
            facts: what must be the same, by its name; of a mapping every key.

        Raises:
            UserError: something differs; names process, fact and key.
        """
        everyone = [dict(flattened(one)) for one in self.gathered(dict(facts))]
        for rank, others in enumerate(everyone):
            for name in everyone[0] | others:
                value, first = others.get(name), everyone[0].get(name)
                if value != first:
                    raise UserError(
                        f"process {rank} trains with another {name} than process 0 ({value}, not {first}); "
                        f"all processes need the same program, configuration and events"
                    )

    def parallel(self, module: torch.nn.Module) -> torch.nn.Module:
        """Return a module whose gradients are means over the processes."""
        if self.ranks == 1:
            return module
        return DistributedDataParallel(module, device_ids=None, static_graph=False)

    @contextlib.contextmanager
    def telling_losses(self) -> Iterator[None]:
        """Raise a UserError where another process is gone.

        Raises:
            UserError: it is.
        """
        try:
            yield
        except RuntimeError as error:
            if self.ranks == 1 or not any(word in str(error) for word in _LOST):
                raise
            text = str(error).splitlines()[0][:200]
            raise UserError(f"process {self.rank}: another process of the training has ended ({text})") from error


@contextlib.contextmanager
def team_of_environment(gpus: str) -> Iterator[Team]:
    """Return the team of the processes that ``torchrun`` started; a team of one without ``torchrun``.

    On a machine's CPU the cores are shared evenly among its processes, unless ``OMP_NUM_THREADS`` says otherwise
    (``torchrun`` sets it to 1 where nobody did).

    Args:
        gpus: ``trainval.gpus``: with several numbers, process i of a machine takes the i-th of them.

    Raises:
        UserError: the others cannot be reached, or there are fewer GPUs than processes.
    """
    from mlreco.models.assembly import device_of

    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        yield Team(device=device_of(gpus))
        return
    rank, ranks, local, on_this_machine = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1))
    )
    launcher = os.getppid() if _OF_LAUNCHER in os.environ else None
    device = device_of(_own_gpu(gpus, local))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif os.environ.get("OMP_NUM_THREADS", "1") == "1":
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // on_this_machine))
    minutes = float(os.environ.get("MLRECO_TEAM_MINUTES", 30))
    try:
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo", timeout=datetime.timedelta(minutes=minutes)
        )
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        text = str(error).splitlines()[0][:200]
        raise UserError(f"process {rank} of {ranks} cannot reach the others at {place}: {text}") from error
    try:
        yield Team(rank, ranks, local, device, on_this_machine, launcher)
    finally:
        distributed.destroy_process_group()


def _own_gpu(gpus: str, local_rank: int) -> str:
    """Return the number of the GPU of a process.

    Raises:
        UserError: there are fewer than processes.
    """
    numbers: Sequence[str] = [number for number in gpus.split(",") if number]
    if numbers and local_rank >= len(numbers):
        raise UserError(f"trainval.gpus: '{gpus}' has no GPU for process {local_rank} of this machine")
    return numbers[local_rank] if numbers else ""
