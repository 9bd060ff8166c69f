"""A post-processor: every event is one instance."""

from typing import Any

import numpy as np


class OneInstance:
    """Gives all voxels of an event the same number."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def __call__(self, event: dict[str, np.ndarray], scheme: Any) -> dict[str, np.ndarray]:
        return {"fragments": np.full(len(event["coordinates"]), self.number, np.int32)}
