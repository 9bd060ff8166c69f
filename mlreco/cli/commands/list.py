"""``mlreco list``: everything that a configuration can call by name, and where it comes from."""

from __future__ import annotations

import argparse

from mlreco.console import say
from mlreco.errors import UserError

NAME = "list"
HELP = "list what a configuration can call by name (models, parsers, ...), and which package each comes from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    kinds = "models, post-processors, parsers, readers, datasets, samplers or collate functions"
    parser.add_argument("kind", nargs="?", metavar="KIND", help=kinds)
    parser.add_argument("--check", action="store_true", help="import each and say which lacks a package")


def run(arguments: argparse.Namespace) -> None:
    """Print the tables.

    Raises:
        UserError: no such kind.
    """
    from mlreco.post_processing.evaluation.text_table import aligned
    from mlreco.registries import registries

    known = {f"{registry.kind}s": registry for registry in registries()}
    if arguments.kind is not None and arguments.kind not in known:
        raise UserError(f"no kind '{arguments.kind}'; there are {', '.join(known)}")
    rows = [["kind", "name", "location", "package", *(["state"] if arguments.check else [])]]
    for kind, registry in known.items():
        if arguments.kind not in (None, kind):
            continue
        for entry in registry.entries():
            row = [kind, entry.name, entry.location, entry.package]
            if arguments.check:
                try:
                    registry.get(entry.name)
                    row.append("ok")
                except UserError as error:
                    row.append(str(error))
            rows.append(row)
    say("\n".join(line.rstrip() for line in aligned(rows, [()] * len(rows))))
