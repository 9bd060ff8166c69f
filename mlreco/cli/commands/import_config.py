"""``mlreco import-config FILE``."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlreco.cli.options import output_file
from mlreco.console import remark, say

NAME = "import-config"
HELP = "write a configuration of lartpc_mlreco3d or SPINE as one of mlreco, a line for each key without a counterpart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="FILE", type=Path, help="configuration of lartpc_mlreco3d or SPINE")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="file to write; the screen if absent")
    parser.add_argument(
        "--class-scheme", metavar="NAME", help="numbering of the classes, 'mlreco' or 'pilarnet'; as in FILE if absent"
    )
    parser.add_argument(
        "--without",
        metavar="STAGE,...",
        default="",
        type=lambda text: [word for word in text.split(",") if word],
        help="leave out stages that mlreco does not have",
    )


def run(arguments: argparse.Namespace) -> None:
    """Translate, tell what has no counterpart, and write the configuration."""
    from mlreco.config.importing import import_config

    imported = import_config(arguments.file, arguments.class_scheme, arguments.without)
    for notice in imported.notices:
        remark(notice)
    if arguments.output is None:
        say(imported.text.rstrip())
        return
    output = output_file(arguments.output, arguments.file)
    header = f"# Made by 'mlreco import-config' from {arguments.file.name}.\n"
    output.write_text(header + imported.text, encoding="utf-8")
    say(f"{output}: train it with 'mlreco train {output} -s FILE...'")
