"""``mlreco configs``."""

from __future__ import annotations

import argparse

from mlreco.console import say

NAME = "configs"
HELP = "list the shipped configurations, or write one out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this one: mlreco configs thin > mine.cfg")


def run(arguments: argparse.Namespace) -> None:
    """Print a line for each configuration, or one of them whole."""
    from mlreco import shipped

    if arguments.name is None:
        known = shipped.configurations()
        width = max(map(len, known))
        for name, path in known.items():
            say(f"{name:<{width}}  {shipped.description(path)}")
        return

    from mlreco.config.standalone import standalone

    say(standalone(arguments.name).rstrip())
