"""The command line of the scripts in ``analysis/``: one analysis of one output file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mlreco.analysis.run import subject
from mlreco.cli import main


def run(name: str, words: Sequence[str] | None = None) -> int:
    """Run one analysis: ``OUTPUT.h5 -o DIR``.

    Args:
        name: of the analysis.
        words: the words after the script's name; those of the process by default.

    Returns:
        The exit status of `mlreco.cli.main`.
    """
    given = list(sys.argv[1:] if words is None else words)
    if not given or {"-h", "--help"} & set(given):
        print(f"usage: {name}.py OUTPUT.h5 -o DIR\n\n{subject(name).HELP}")  # noqa: T201 - the output of a script
        print(f"writes DIR/{name}.png, {name}.html, {name}.csv and prints its numbers")  # noqa: T201
        return 0 if given else 2
    return main(["analyse", *given, "--only", name])
