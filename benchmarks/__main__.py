"""``python -m benchmarks``: measure, print a table, write JSON, the table and a figure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import subjects
from mlreco.allocator import keep_freed_memory
from mlreco.threads import let_idle_threads_sleep

RESULTS = Path(__file__).resolve().parent / "results"


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(subjects.NAMES)}; all by default"
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, metavar="FOLDER", help="where results go")
    parser.add_argument("--name", default="speed", help="name of the files there (speed)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every contender")
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads; default 1 and all CPUs")
    parser.add_argument("--quick", action="store_true", help="tiny inputs, to see that everything runs")
    arguments = parser.parse_args(words)
    unknown = [name for name in arguments.subjects if name not in subjects.NAMES]
    if unknown:
        parser.error(f"no subject '{unknown[0]}'; there are {', '.join(subjects.NAMES)}")
    return arguments


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmarks of a command line."""
    arguments = _arguments(words)
    let_idle_threads_sleep()
    keep_freed_memory()

    from benchmarks import machine, report
    from benchmarks.figure import draw
    from benchmarks.measurement import Settings
    from mlreco.atomic import write_text

    threads = arguments.threads or (1,) if arguments.quick else sorted({1, machine.usable_cpus()})
    settings = Settings(1 if arguments.quick else arguments.rounds, tuple(sorted(threads)), arguments.quick)
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem = arguments.output / arguments.name
    found, results, titles = machine.describe(), {}, {}
    for name in arguments.subjects or subjects.NAMES:
        subject = subjects.load(name)
        print(f"\n{subject.TITLE}\n{'-' * len(subject.TITLE)}", flush=True)
        titles[name], results[name] = subject.TITLE, list(subject.measure(settings))
        for row in (report.HEADER, *report.rows(results[name])):
            print(_aligned(row), flush=True)
        report.write_json(stem.with_suffix(".json"), results, found, asdict(settings))
        write_text(stem.with_suffix(".md"), report.markdown(results, titles, found))
    drawn = draw(stem.with_suffix(".png"), results)
    print(f"\n{stem}.json, .md" + (" and .png" if drawn else "; no figure"))


def _aligned(row: Sequence[str]) -> str:
    widths = (44, 9, 8, 20, 13, 13, 15, 17, 20)
    return "".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
