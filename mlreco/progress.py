"""Progress bars on the terminal; nothing where nobody looks."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm


class Progress:
    """A bar with rate and time left on stderr, silent where stderr is no terminal.

    Args:
        description: what is going on.
        total: number of steps; None where it is not known.
        initial: steps done before.
        unit: what a step is, in the rate (``ev`` gives events/s).
    """

    def __init__(self, description: str, total: int | None = None, initial: int = 0, unit: str = "ev") -> None:
        self._bar = tqdm(
            desc=description,
            total=total,
            initial=initial,
            unit=unit,
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def advance(self, steps: int = 1, **numbers: float) -> None:
        """Count steps and show the latest numbers, such as the loss."""
        if numbers and not self._bar.disable:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()}, refresh=False)
        self._bar.update(steps)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
