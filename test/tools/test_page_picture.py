"""The picture of README has the colours of the page."""

import re
from pathlib import Path

import numpy as np
import pytest

image = pytest.importorskip("PIL.Image")
ROOT = Path(__file__).resolve().parents[2]


def test_background_and_cards():
    """Few colours stand for thousands; the pale planes have to stay what they are."""
    style = (ROOT / "mlreco/visualization/assets/event_display.css").read_text(encoding="utf-8")
    shown = np.asarray(image.open(ROOT / "docs/images/event.png").convert("RGB")).astype(int)
    for name, (row, column) in {"back": (500, 3), "card": (500, 30)}.items():
        red, green, blue = re.search(rf"--{name}: *#(..)(..)(..);", style).groups()
        wanted = [int(number, 16) for number in (red, green, blue)]
        assert np.abs(shown[row, column] - wanted).max() <= 3, name
