"""``mlreco recluster OUTPUT.h5 -o NEW.h5``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlreco.cli.options import output_file
from mlreco.cli.run_clock import RunClock
from mlreco.collector import collector_off_while_importing
from mlreco.console import remark, say
from mlreco.errors import UserError

if TYPE_CHECKING:
    from mlreco.config import Config

NAME = "recluster"
HELP = "cluster the events of an output file again, with other thresholds or another clusterer, without the network"
SECTION = "post_processing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="OUTPUT.h5", type=Path, help="file that 'mlreco inference' wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="NEW.h5", help="file to write")
    parser.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="file that 'mlreco tune' wrote; also says which clusterer"
    )
    parser.add_argument(
        "--config", type=Path, metavar="CONFIG", help=f"take section {SECTION} of this configuration, not the file's"
    )
    parser.add_argument(
        "--set", action="append", metavar="a.b=c", default=[], dest="overrides", help=f"change a key of {SECTION}"
    )


def run(arguments: argparse.Namespace) -> None:
    """Cluster again and say what was written."""
    output = output_file(arguments.output, arguments.file)

    with collector_off_while_importing("torch"):
        from mlreco.inference import recluster

        config = _config(arguments)
    clock = RunClock()
    events = recluster(arguments.file, config[SECTION], output, cfg=config.text)
    rate = f"{events} events in {clock.seconds():.1f} s ({events / clock.seconds():.1f} events/s)"
    say(f"{output}: {rate}; {', '.join(config[SECTION])}{clock.once()}")


def _config(arguments: argparse.Namespace) -> Config:
    """Return the configuration in the file, with the section that is asked for.

    Raises:
        UserError: the file holds no configuration, an override of another section, or a mistake in the configuration.
    """
    import yaml

    from mlreco.config import load_config, parse_config
    from mlreco.iotools import HDF5Reader
    from mlreco.post_processing.factories import clusterers_of_file, with_thresholds
    from mlreco.yaml_reader import read_sections

    overrides = list(arguments.overrides)
    for text in overrides:
        if not text.startswith(f"{SECTION}."):
            raise UserError(f"--set {text}: only keys of {SECTION} matter here, such as {SECTION}.dbscan.eps=2")
    with HDF5Reader(arguments.file) as reader:
        before = clusterers_of_file(reader.info)
        values = read_sections(reader.info.get("cfg") or "", f"{arguments.file}: its configuration")
    if "model" not in values:
        raise UserError(f"{arguments.file}: holds no configuration; it is not an output of 'mlreco inference'")
    if arguments.config is not None:
        given = read_sections(load_config(arguments.config).text, str(arguments.config))
        values[SECTION] = given.get(SECTION, {})
    if arguments.thresholds is not None:
        values[SECTION] = with_thresholds(values.get(SECTION) or {}, str(Path.cwd() / arguments.thresholds))
    config = parse_config(yaml.safe_dump(values, sort_keys=False), arguments.file, overrides)
    if before and not set(before) & set(config[SECTION]):
        remark(f"{arguments.file} was clustered by {', '.join(before)}; now it is by {', '.join(config[SECTION])}")
    if not config[SECTION]:
        raise UserError(f"{arguments.config or arguments.file}: section {SECTION} names no clusterer")
    return config
