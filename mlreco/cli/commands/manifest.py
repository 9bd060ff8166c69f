"""``mlreco manifest DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.console import say
from mlreco.errors import UserError

NAME = "manifest"
HELP = "join the manifests of the shards of a production and say what is missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="output folder of the production")


def run(arguments: argparse.Namespace) -> None:
    """Write ``manifest.json`` and say what is in it.

    Raises:
        UserError: files have no output.
    """
    from mlreco.production.join import join

    manifest = join(arguments.folder)
    say(f"{arguments.folder}: {manifest.summary()}")
    if manifest.problems():
        raise UserError("; ".join(manifest.problems()))
