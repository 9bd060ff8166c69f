"""The command line."""

from mlreco.cli.entry import main

__all__ = ["main"]
