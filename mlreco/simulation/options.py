"""Options of a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mlreco.errors import UserError, nearest
from mlreco.simulation.guns import CM_TO_MM, Gun, gun_from_mapping, gun_from_text
from mlreco.simulation.modes import VOXEL_MM, mode

_LARGEST_SIZE = 2048
"""Voxels along an edge; numbers of voxels times tracks must stay below 2^63."""


@dataclass(frozen=True)
class Options:
    """What is simulated: the same options and number of an event give the same event, anywhere.

    Attributes:
        modes: names of the kinds of images; all are made of the same Geant4 events.
        seed: of all random numbers.
        size: voxels along each edge of the cube, 3 mm each.
        vertex: fewest and most particles from the common vertex.
        rain: fewest and most other particles.
        particles: guns that shoot instead of ``vertex`` and ``rain``.
        region: part of each half edge within which guns stand that have no position of their own.
    """

    modes: tuple[str, ...] = ("thin",)
    seed: int = 0
    size: int = 512
    vertex: tuple[int, int] = (2, 8)
    rain: tuple[int, int] = (1, 9)
    particles: tuple[Gun, ...] = ()
    region: float = 0.9

    def __post_init__(self) -> None:
        for name in self.modes:
            mode(name)
        if not self.modes or len(set(self.modes)) < len(self.modes):
            raise UserError(f"modes must be named once each, not {', '.join(self.modes) or 'none'}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"the seed must be a number from 0 to 2^63 - 1, not {self.seed}")
        if not 1 <= self.size <= _LARGEST_SIZE:
            raise UserError(f"the size must be from 1 to {_LARGEST_SIZE} voxels, not {self.size}")
        for name in ("vertex", "rain"):
            fewest, most = getattr(self, name)
            if not 0 <= fewest <= most:
                raise UserError(f"{name} must be a fewest and a most number of particles, not {fewest} and {most}")
        if not self.particles and self.vertex[1] + self.rain[1] == 0:
            raise UserError("there is nothing to simulate: vertex and rain are both 0")
        if not 0 <= self.region <= 1:
            raise UserError(f"the region must be a part from 0 to 1, not {self.region}")
        for gun in self.particles:
            half = self.width / CM_TO_MM / 2
            if gun.position is not None and not all(abs(place) < half for place in gun.position):
                place = list(gun.position)
                raise UserError(f"{gun.particle}: {place} cm is outside the cube, which ends at {half:g} cm")

    @property
    def width(self) -> float:
        """Edge of the cube, mm."""
        return self.size * VOXEL_MM

    def plain(self) -> dict[str, Any]:
        """Return the options as values that JSON and YAML can hold."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["particles"] = [gun.plain() for gun in self.particles]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def options_from_mapping(values: Mapping[str, Any], where: str) -> Options:
    """Read options from a configuration.

    Args:
        values: fields of `Options`, with ``mode`` for one mode or several in place of ``modes``; particles are texts
            (``mu-,200``) or mappings with the fields of `guns.Gun`.
        where: what they were read from, for messages.

    Raises:
        UserError: an unknown key or a value that makes no sense.
    """
    known = {"mode" if field.name == "modes" else field.name for field in fields(Options)}
    for name in values:
        if name not in known:
            raise UserError(f"{where}: unknown key '{name}'{nearest(str(name), known)}")
    read = dict(values)
    if "mode" in read:
        chosen = read.pop("mode")
        read["modes"] = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    read["particles"] = tuple(
        gun_from_text(gun) if isinstance(gun, str) else gun_from_mapping(gun, f"{where}.particles[{number}]")
        for number, gun in enumerate(values.get("particles") or ())
    )
    try:
        for name in ("vertex", "rain"):
            if name in read:
                fewest, most = map(_whole, read[name])
                read[name] = (fewest, most)
        for name in ("seed", "size"):
            read[name] = _whole(read.get(name, getattr(Options, name)))
        read["region"] = float(read.get("region", Options.region))
    except (TypeError, ValueError):
        raise UserError(f"{where}: seed and size are whole numbers, vertex and rain [fewest, most]") from None
    try:
        return Options(**read)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError
    return int(value)
