"""Measurements as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.fma_peak import CASE as PEAK
from benchmarks.measurement import OURS, Measurement
from mlreco.atomic import write_text

Results = Mapping[str, Sequence[Measurement]]
"""Measurements by subject."""

HEADER = ("what", "voxels", "threads", "who", "least", "median", "ours is faster", "with all threads", "remarks")


def peaks(measurements: Sequence[Measurement]) -> dict[int, float]:
    """Return the highest rate of the multiply-add loop for every number of threads, FLOP/s."""
    found: dict[int, float] = {}
    for m in measurements:
        if m.case == PEAK:
            found[m.threads] = max(found.get(m.threads, 0.0), m.flops / m.least)
    return found


def ratio(measurement: Measurement, measurements: Sequence[Measurement], threads: int | None) -> float | None:
    """Return how many times less we need, by least values.

    Args:
        measurement: of a peer.
        measurements: those of its subject.
        threads: our number of threads; None for the most there are.
    """
    ours = [
        m
        for m in measurements
        if (m.case, m.size, m.contender) == (measurement.case, measurement.size, OURS) and threads in (None, m.threads)
    ]
    if not ours or measurement.contender == OURS or not measurement.compared:
        return None
    return measurement.least / max(ours, key=lambda m: m.threads).least


def rows(measurements: Sequence[Measurement]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a table as text, in the order of ``HEADER``."""
    peak = peaks(measurements)
    for m in measurements:
        rate = m.flops / m.least if m.flops else None
        if m.case == PEAK:
            values = (f"{rate / 1e9:.0f} GFLOP/s", f"{m.flops / m.median / 1e9:.0f} GFLOP/s")
        else:
            values = (_value(m.least, m.unit), _value(m.median, m.unit))
        share = f"{rate / peak[m.threads]:.0%} of the peak" if rate and m.threads in peak else m.note
        times = (ratio(m, measurements, m.threads), ratio(m, measurements, None))
        told = ("" if t is None else f"{t:.2f} x" for t in times)
        yield (m.case, f"{m.size:,}" if m.size else "", str(m.threads), m.contender, *values, *told, share)


def _value(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:.0f} {unit}"
    return f"{value:.1f} s" if value >= 10 else f"{1e3 * value:.{0 if value >= 0.1 else 1}f} ms"


def markdown(results: Results, titles: Mapping[str, str], machine: Mapping[str, Any]) -> str:
    """Return the whole report."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"# Benchmarks, {machine['date'][:10]}",
        "",
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['vector_unit']}; load before the start "
        f"{machine['load_average'][0]}; Python {machine['python']}, {versions}.",
        "",
        "Contenders took turns in one run. Written by `make bench`.",
    ]
    for subject, measurements in results.items():
        lines += ["", f"## {titles[subject]}", "", _line(HEADER), _line("---" for _ in HEADER)]
        lines += [_line(row) for row in rows(measurements)]
    return "\n".join(lines) + "\n"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def write_json(path: Path, results: Results, machine: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write everything measured, with what it was measured on."""
    measured = {subject: [asdict(m) for m in measurements] for subject, measurements in results.items()}
    document = {"machine": machine, "settings": settings, "measurements": measured}
    write_text(path, json.dumps(document, indent=1) + "\n")
