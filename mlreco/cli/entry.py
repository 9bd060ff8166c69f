"""Entry point of the command line: runs a command and returns its exit status."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mlreco.allocator import keep_freed_memory
from mlreco.cli import commands
from mlreco.cli.folders import removing_unused_folders
from mlreco.console import remark, write_what_the_terminal_cannot
from mlreco.errors import UserError, nearest
from mlreco.inputs import noting_inputs
from mlreco.interrupt import Stopped, Terminated, ending_on_signals
from mlreco.shipped import CONFIG_SUFFIXES
from mlreco.threads import let_idle_threads_sleep
from mlreco.version import __version__

OK, BUG, USER_ERROR, INTERRUPTED, BROKEN_PIPE, SIGNALLED = 0, 1, 2, 130, 141, 128
BY_BATCHES = ("inference", "train", commands.OLD_FORM)
"""Commands whose memory grows with the size of a batch."""

_PACKAGES = {"sklearn": "scikit-learn", "spconv": "mlreco[cuda]", "yaml": "pyyaml"}
"""Name of a module -> name of its package, where they differ."""


class _Parser(argparse.ArgumentParser):
    """Argument parser whose errors are UserErrors, so that they end like every other one."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see '{self.prog} --help')")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after the program's name; by default those of the process, which is then taken to end with the
            command.

    Returns:
        0; 2 for a user's mistake, told in one line; 1 for a bug, with its traceback; 130 after Ctrl-C; 128 and the
        number of another signal that ended it, 143 after SIGTERM; 75 for a training that was saved first.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    let_idle_threads_sleep()
    keep_freed_memory()
    write_what_the_terminal_cannot()
    try:
        with noting_inputs(), ending_on_signals(process_ends=argv is None), removing_unused_folders():
            return run_command(words)
    except UserError as error:
        return _refuse(str(error))
    except Terminated as end:
        remark(f"ended by {signal.Signals(end.number).name}")
        return SIGNALLED + end.number
    except KeyboardInterrupt as stop:
        remark(f"interrupted: {stop}" if str(stop) else "interrupted")
        return stop.exit_status if isinstance(stop, Stopped) else INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        return _explain(error, words)


def run_command(words: list[str]) -> int:
    """Run the command of some words in this process.

    Returns:
        0.

    Raises:
        UserError: a mistake in the words or in what they name.
    """
    parser = _parser()
    try:
        arguments, unknown = parser.parse_known_args(_with_command(words))
    except SystemExit as end:
        sys.stdout.flush()
        return end.code if isinstance(end.code, int) else OK
    if unknown:
        options = re.findall(r"--[a-z-]+", arguments.parser.format_usage())
        hint = nearest(unknown[0].partition("=")[0], options) if unknown[0].startswith("-") else ""
        raise UserError(f"'{arguments.parser.prog}' takes no '{unknown[0]}'{hint}")
    arguments.run(arguments)
    sys.stdout.flush()
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mlreco",
        description="Reconstruct particles in liquid-argon TPC images.",
        epilog="'mlreco CONFIG' trains or infers, as trainval.train in the configuration says.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mlreco {__version__}")
    choices = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for command in commands.load():
        shown = {"help": command.HELP} if command.NAME != commands.OLD_FORM else {}
        one = choices.add_parser(command.NAME, description=command.HELP, allow_abbrev=False, **shown)
        command.add_arguments(one)
        one.set_defaults(run=command.run, parser=one)
    return parser


def _with_command(words: list[str]) -> list[str]:
    """Put the hidden command of the old form ``run.py CONFIG`` before a configuration file."""
    if not words or words[0].startswith("-"):
        return words
    names = [name for name in commands.names() if name != commands.OLD_FORM]
    first = words[0]
    if first in names:
        return words
    if (Path(first).exists() and not Path(first).is_dir()) or first.endswith(CONFIG_SUFFIXES):
        return [commands.OLD_FORM, *words]
    raise UserError(f"no command '{first}'{nearest(first, names)}")


def _explain(error: Exception, words: list[str]) -> int:
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != "mlreco":
        package = error.name.partition(".")[0]
        wanted = _PACKAGES.get(package, package)
        return _refuse(f"the package '{package}' is not installed in {sys.executable}: pip install {wanted}")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        by_batches = not words or words[0] not in commands.names() or words[0] in BY_BATCHES
        return _refuse(f"out of memory{': lower iotool.batch_size' if by_batches else ''}")
    traceback.print_exception(error)
    remark("this is a bug in mlreco; please report it with the lines above")
    return BUG


def _refuse(message: str) -> int:
    remark(f"error: {message}")
    return USER_ERROR
