"""Write docs/reference/commands.md: every command and option, from the parser of the command line.

python tools/cli_reference.py            # writes the page
python tools/cli_reference.py --check    # fails where the page is not what the code says
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from generated_page import write_or_check

from mlreco.cli import commands

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "commands.md"
HEAD = """# Command reference

<!-- Written by tools/cli_reference.py from the parser of the command line. Do not edit. -->

`mlreco` and, in a checkout, `bin/run.py` are the same program. The exit status is 0; 2 for a mistake that one line
explains; 1 for a bug; 130 after Ctrl-C.
"""


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for command in commands.load():
        if command.NAME != commands.OLD_FORM:
            parser = argparse.ArgumentParser(prog=f"mlreco {command.NAME}", add_help=False)
            command.add_arguments(parser)
            parts += [f"## `mlreco {command.NAME}`", f"{command.HELP[0].upper()}{command.HELP[1:]}.", _table(parser)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(parser: argparse.ArgumentParser) -> str:
    rows = [_row(action) for action in parser._actions if action.help != argparse.SUPPRESS]
    lines = ["| | |", "|---|---|", *(f"| {words} | {told} |" for words, told in rows)]
    return "\n".join(lines) if rows else ""


def _row(action: argparse.Action) -> tuple[str, str]:
    """Return how an argument is written and what it does."""
    name = action.metavar or action.dest.upper()
    value = "" if action.nargs == 0 else f" {' '.join(name) if isinstance(name, tuple) else name}"
    if action.nargs in ("+", "*"):
        value += " ..."
    words = ", ".join(action.option_strings) + value if action.option_strings else value.strip()
    told = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    return f"`{words}`".replace("|", "\\|"), told.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
