"""One event from a seed and a number."""

from __future__ import annotations

import numpy as np

from mlreco.simulation.geant4.tracker import Recording, Tracker
from mlreco.simulation.guns import shoot
from mlreco.simulation.image import make_image
from mlreco.simulation.mixture import mixture
from mlreco.simulation.modes import MODES, Mode
from mlreco.simulation.options import Options
from mlreco.simulation.particle_table import particle_table
from mlreco.simulation.products import PRODUCER, Products, SimulatedEvent, images
from mlreco.simulation.truth import families

LEAST_MEV = 20.0
"""An event of the mixture that leaves less than this in the cube is drawn again."""


class Simulator:
    """Makes events; one in a process, since Geant4 keeps its state there.

    Raises:
        UserError: Geant4 is not installed.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._tracker = Tracker(options.width)

    def event(self, number: int) -> SimulatedEvent:
        """Simulate event ``number``, from 0; the same whatever was simulated before."""
        recording, primaries = self._record(number)
        interactions = primaries["interaction"]
        images = {name: self._products(recording, interactions, MODES[name]) for name in self.options.modes}
        return SimulatedEvent(number, images)

    def _record(self, number: int) -> tuple[Recording, np.ndarray]:
        """Draw primaries and track them until an event leaves enough energy."""
        options, attempt = self.options, 0
        while True:
            state = np.random.SeedSequence([options.seed, number, attempt]).generate_state(5)
            rng, seed = np.random.default_rng(state[:4]), 1 + int(state[4]) % (2**31 - 2)
            if options.particles:
                primaries = shoot(rng, options.width / 2, options.particles, options.region)
                return self._tracker.event(seed, primaries), primaries
            primaries = mixture(rng, options.width / 2, options.vertex, options.rain)
            recording = self._tracker.event(seed, primaries)
            if recording.deposits["energy"].sum() > LEAST_MEV:
                return recording, primaries
            attempt += 1

    def _products(self, recording: Recording, interactions: np.ndarray, mode: Mode) -> Products:
        deposits, tracks, processes = recording.deposits, recording.tracks, recording.processes
        family = families(tracks, processes, mode)
        image = make_image(deposits, tracks, family, self.options.size, mode)
        particles = particle_table(image, deposits, tracks, family, processes, interactions)
        return {**images(image, self.options.size), f"particle_{PRODUCER}": particles}
