"""Make docs/images/event.png: the page of an event of the sample, as a browser without a window shows it.

python tools/page_picture.py                        # needs Chromium; with --browser another browser that is like it
python tools/page_picture.py --page event_0.html    # of a page that is there
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "event.png"
EVENT = 3
"""Event of the sample that is shown."""
WIDTH, HEIGHT = 1600, 970
COLOURS, ROUNDS = 240, 2
"""Colours of the picture, and how often they are moved to the mean of what they stand for."""
MOST_BYTES = 200_000
SECONDS = 60
"""Time of the page after which the picture is taken; its clock stands still while it draws."""


def make_page(folder: Path) -> Path:
    """Reconstruct the event and write its page.

    Raises:
        UserError: as in ``mlreco inference`` and ``mlreco display``.
    """
    from mlreco.cli.entry import run_command

    output, page = folder / "output.h5", folder / "event.html"
    run_command(["inference", "thin", "-s", "sample", "-n", f"{EVENT}:{EVENT + 1}", "-o", str(output)])
    run_command(["display", str(output), "--event", "0", "-o", str(page)])
    return page


def photograph(browser: str, page: Path, picture: Path) -> None:
    """Let a browser draw the page."""
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu-watchdog", "--use-angle=swiftshader"]
    options += ["--enable-unsafe-swiftshader", f"--window-size={WIDTH},{HEIGHT}"]
    options += [f"--virtual-time-budget={1000 * SECONDS}", f"--screenshot={picture}"]
    subprocess.run([browser, *options, page.resolve().as_uri()], check=True, stderr=subprocess.DEVNULL)


def shrink(source: Path, target: Path) -> int:
    """Write a picture with few colours; return its bytes."""
    from PIL import Image

    image = Image.open(source).convert("RGB")
    method, dither = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
    image.quantize(COLOURS, method=method, kmeans=ROUNDS, dither=dither).save(target, optimize=True)
    return target.stat().st_size


def main() -> int:
    """Make the picture; return 1 where it is too large for the repository."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--page", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photograph(arguments.browser, arguments.page or make_page(folder), folder / "page.png")
        size = shrink(folder / "page.png", arguments.output)
    sys.stdout.write(f"{arguments.output}: {size} bytes\n")
    return int(size > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
