"""Particles of chosen kind and energy, for studies of what a reconstruction does to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.simulation.primaries import PDG, isotropic, log_uniform, primaries

SPECTRA = ("uniform", "log")
CM_TO_MM = 10.0
_EXAMPLE = "mu-,200 or pi0,100:800 or proton,50:400,1:3"
_FIELDS = ("particle", "kinetic", "count", "spectrum", "position", "direction")


@dataclass(frozen=True)
class Gun:
    """Shoots particles of one kind.

    Attributes:
        particle: name, one of `primaries.PDG`.
        kinetic: lowest and highest kinetic energy, MeV.
        count: fewest and most particles of an event.
        spectrum: ``uniform`` or ``log`` (even in the logarithm) between the two energies.
        position: x, y, z in cm from the centre of the cube; None for a point drawn evenly from the cube's inner part.
        direction: x, y, z; None for isotropic.
    """

    particle: str
    kinetic: tuple[float, float]
    count: tuple[int, int] = (1, 1)
    spectrum: str = "uniform"
    position: tuple[float, float, float] | None = None
    direction: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.particle not in PDG:
            raise UserError(f"no particle '{self.particle}'{nearest(self.particle, PDG)}")
        if not 0 < self.kinetic[0] <= self.kinetic[1] < float("inf"):
            raise UserError(f"{self.particle}: kinetic energies must be above 0 MeV and in order, not {self.kinetic}")
        if not 0 <= self.count[0] <= self.count[1]:
            raise UserError(f"{self.particle}: numbers of particles must be from 0 and in order, not {self.count}")
        if self.spectrum not in SPECTRA:
            raise UserError(f"{self.particle}: no spectrum '{self.spectrum}'{nearest(self.spectrum, SPECTRA)}")
        if self.direction is not None and not np.linalg.norm(self.direction) > 0:
            raise UserError(f"{self.particle}: the direction must not be zero")

    def draw(self, rng: np.random.Generator, vertex: np.ndarray) -> list[tuple]:
        """Draw the particles of an event; ``vertex`` (mm) is where they start if the gun stands nowhere else."""
        shot = []
        for _ in range(rng.integers(self.count[0], self.count[1] + 1)):
            spectrum = log_uniform if self.spectrum == "log" else _uniform
            kinetic = spectrum(rng, *self.kinetic)
            direction = isotropic(rng) if self.direction is None else _unit(self.direction)
            position = vertex if self.position is None else np.multiply(CM_TO_MM, self.position)
            shot.append((PDG[self.particle], kinetic, position, direction, 0))
        return shot

    def plain(self) -> dict[str, Any]:
        """Return the fields as values that JSON and YAML can hold."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def shoot(rng: np.random.Generator, half: float, guns: Sequence[Gun], region: float) -> np.ndarray:
    """Draw the primaries of an event: those of all guns, from one vertex where they do not say otherwise.

    Args:
        rng: source of the draws.
        half: half the edge of the cube, mm.
        guns: what shoots.
        region: part of each half edge within which the vertex lies.

    Returns:
        (P,) `primaries.PRIMARY`, all of interaction 0.
    """
    vertex = rng.uniform(-region * half, region * half, 3)
    return primaries([particle for gun in guns for particle in gun.draw(rng, vertex)])


def gun_from_text(text: str) -> Gun:
    """Read ``PARTICLE,ENERGY[,COUNT]``, where energy (MeV) and count are a number or a range ``LOW:HIGH``.

    Raises:
        UserError: it is none.
    """
    particle, *numbers = text.split(",")
    try:
        ranges = [tuple(float(part) for part in number.split(":")) for number in numbers]
        kinetic, count = (*ranges, (1.0,))[:2] if 1 <= len(ranges) <= 2 else ((), ())
        if not (1 <= len(kinetic) <= 2 and 1 <= len(count) <= 2) or any(part % 1 for part in count):
            raise ValueError
    except ValueError:
        raise UserError(f"'{text}' is no PARTICLE,ENERGY[,COUNT]; for example {_EXAMPLE}") from None
    return Gun(particle, (kinetic[0], kinetic[-1]), (int(count[0]), int(count[-1])))


def gun_from_mapping(values: Mapping[str, Any], where: str) -> Gun:
    """Read a gun from a mapping with the fields of `Gun`; a single number stands for a range of one.

    Args:
        values: the mapping.
        where: what it was read from, for messages.

    Raises:
        UserError: an unknown or missing field, or a value that makes no sense.
    """
    for name in values:
        if name not in _FIELDS:
            raise UserError(f"{where}: unknown key '{name}'{nearest(str(name), _FIELDS)}")
    for name in ("particle", "kinetic"):
        if name not in values:
            raise UserError(f"{where}: '{name}' is missing")
    read = dict(values)
    try:
        read["kinetic"] = _numbers(values["kinetic"], float, (1, 2))
        read["count"] = _numbers(values.get("count", 1), int, (1, 2))
        for name in ("position", "direction"):
            read[name] = None if values.get(name) is None else _numbers(values[name], float, (3,))
    except (TypeError, ValueError):
        raise UserError(
            f"{where}: kinetic and count are numbers or [low, high], position and direction [x, y, z]"
        ) from None
    try:
        return Gun(**read)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _numbers(value: Any, kind: type, lengths: tuple[int, ...]) -> tuple:
    numbers = tuple(kind(number) for number in (value if isinstance(value, (list, tuple)) else [value]))
    if len(numbers) not in lengths:
        raise ValueError
    return numbers * 2 if numbers and len(numbers) == 1 else numbers


def _unit(direction: Sequence[float]) -> np.ndarray:
    return np.asarray(direction) / np.linalg.norm(direction)


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))
