"""Merges outputs, by a file that names the parts or by copying their events."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.console import remark
from mlreco.errors import UserError
from mlreco.inputs import file_digest, input_file
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.iotools.output.carried import of_the_events
from mlreco.iotools.output.parts import OF_THE_FILE, PARTS, Part, parts_text
from mlreco.iotools.output.product_table import LinkedRows
from mlreco.iotools.output.schema import source_files
from mlreco.iotools.skipped import Skipped
from mlreco.production.manifest import read_manifest
from mlreco.production.output import made_from
from mlreco.progress import Progress
from mlreco.yaml_reader import read_sections

_SAME = ("class_scheme", "classes", "thresholds", "post_processors", "feature_version")
"""Attributes that are the same in all parts."""
_JOINED = ("mlreco_version", "torch_version")
_AT_ONCE = 256
"""Events that are copied at once."""


@dataclass(frozen=True)
class _Content:
    """The content of a part that is compared and joined.

    Attributes:
        path: the file.
        info: its attributes.
        columns: product -> names of its columns.
        types: product -> type and shape of its rows.
        counts: product -> rows of each event.
        sources: rows of the product ``source``.
        skipped: what was left out of it.
        voxel_size: of its first event; nothing where it has none.
        fingerprint: of the production that it comes from; nothing where it is of none.
    """

    path: Path
    info: dict[str, Any]
    columns: dict[str, tuple[str, ...]]
    types: dict[str, tuple[np.dtype, tuple[int, ...]]]
    counts: dict[str, np.ndarray]
    sources: np.ndarray | None
    skipped: tuple[Skipped, ...]
    voxel_size: tuple[float, ...]
    fingerprint: str


def merge(output: str | Path, parts: Sequence[str | Path], copy: bool = False) -> int:
    """Make one output of several; the events keep their order, and the parts that in which they are given.

    Args:
        output: file to write.
        parts: outputs, and manifests of productions, which stand for their outputs.
        copy: copy the events. Else the new file names its parts, which must lie in its folder or below and stay there.

    Returns:
        The number of events.

    Raises:
        UserError: a part is missing, damaged, given twice or of another kind than the first; a manifest of a production
            that is not finished, or whose outputs have changed.
    """
    output = Path(output)
    files = _files(parts)
    contents = [_read(path) for path in files]
    for other in contents[1:]:
        _refuse_another_kind(contents[0], other)
    info = _info(contents)
    columns = {name: names for one in contents for name, names in one.columns.items()}
    if not copy:
        info[PARTS] = parts_text([_part(one, output) for one in contents])
    with HDF5Writer(output, info, columns) as writer:
        if copy:
            _copy(writer, contents)
        else:
            _link(writer, contents, output)
        writer.list_skipped([skipped for one in contents for skipped in one.skipped])
        return writer.num_events


def _files(parts: Sequence[str | Path]) -> list[Path]:
    """Return the outputs to merge, in their order.

    Raises:
        UserError: one is given twice, or a manifest does not hold for its outputs.
    """
    files = []
    for path in map(Path, parts):
        files += _of_manifest(path) if path.suffix == ".json" else [path]
    seen: dict[tuple[int, int], Path] = {}
    for path in files:
        found = input_file(path)
        if (found.st_dev, found.st_ino) in seen:
            raise UserError(f"{path}: is given twice; its events would be in the file twice")
        seen[found.st_dev, found.st_ino] = path
    if not files:
        raise UserError("there are no outputs to merge")
    return files


def _of_manifest(path: Path) -> list[Path]:
    """Return the outputs of a manifest.

    Raises:
        UserError: files of the production have no output, or an output is not what the manifest says.
    """
    manifest = read_manifest(path)
    if not manifest.finished:
        raise UserError(f"{path}: the production has not ended; run it again ({len(manifest.waiting)} files wait)")
    for before, one in manifest.repeated():
        raise UserError(f"{path}: {one.input} has the content of {before.input}; its events would be in the file twice")
    if manifest.failed:
        more = f" nor of {len(manifest.failed) - 1} more" if len(manifest.failed) > 1 else ""
        remark(f"{path}: there is no output of {manifest.failed[0].input}{more}")
    files = []
    for one in manifest.done:
        file = path.parent / one.output
        size = input_file(file).st_size
        if size != one.output_bytes or file_digest(file) != one.output_sha256:
            raise UserError(f"{file}: is not the file that {path} lists; reconstruct it again")
        files.append(file)
    return files


def _read(path: Path) -> _Content:
    """Return the content of an output that is compared and joined.

    Raises:
        UserError: it cannot be read.
    """
    with HDF5Reader(path) as reader:
        made = made_from(reader)
        sizes = (
            reader.range(0, 1, ["voxel_size"])["voxel_size"][0] if len(reader) and _has(reader, "voxel_size") else []
        )
        return _Content(
            path,
            reader.info,
            reader.columns,
            {name: reader.row_dtype(name) for name in reader.products},
            {name: reader.row_counts(name) for name in reader.products},
            reader.range(0, len(reader), ["source"])["source"][0] if _has(reader, "source") else None,
            reader.skipped,
            tuple(np.ravel(sizes).tolist()),
            made.fingerprint if made else "",
        )


def _has(reader: HDF5Reader, product: str) -> bool:
    return product in reader.products


def _refuse_another_kind(first: _Content, other: _Content) -> None:
    """Check that two outputs can be parts of one.

    Raises:
        UserError: they cannot; names both and what differs.
    """

    def refuse(text: str) -> UserError:
        return UserError(f"{other.path} does not fit {first.path}: {text}")

    if not first.types or not other.types:  # without an event the products are not known
        raise refuse(f"{(other if first.types else first).path} has no products")
    for name in sorted({*first.types, *other.types}):
        if name not in other.types or name not in first.types:
            with_it = first if name in first.types else other
            raise refuse(f"only {with_it.path} has the product '{name}'")
        if first.types[name] != other.types[name] or first.columns.get(name) != other.columns.get(name):
            raise refuse(f"product '{name}' has rows of another type")
    for name in _SAME:
        if first.info.get(name) != other.info.get(name):
            raise refuse(f"{name} differ")
    if first.voxel_size and other.voxel_size and not np.allclose(first.voxel_size, other.voxel_size, rtol=1e-3, atol=0):
        raise refuse(f"voxels of {first.voxel_size} cm and of {other.voxel_size} cm")
    if first.fingerprint and other.fingerprint:
        if first.fingerprint != other.fingerprint:
            raise refuse("they come from productions with other settings, weights or programs")
    elif _networks(first) != _networks(other):
        raise refuse("they were made with other networks")


def _networks(one: _Content) -> Any:
    """Return the section ``model`` of the configuration of an output."""
    return read_sections(one.info.get("cfg") or "", f"{one.path}: its configuration").get("model")


def _info(contents: Sequence[_Content]) -> dict[str, Any]:
    """Return the attributes of the merged file: those of the first, and what is joined of all."""
    info = {name: value for name, value in of_the_events(contents[0].info).items() if name != "date"}
    info["source_files"] = json.dumps([name for one in contents for name in source_files(one.info)])
    for name in _JOINED:
        info[name] = ", ".join(dict.fromkeys(str(one.info.get(name, "unknown")) for one in contents))
    warnings = dict.fromkeys(text for one in contents for text in json.loads(one.info.get("warnings") or "[]"))
    info["warnings"] = json.dumps(list(warnings))
    info["seconds"] = float(sum(one.info.get("seconds") or 0.0 for one in contents))
    info["merged_from"] = json.dumps([one.path.name for one in contents])
    return info


def _part(one: _Content, output: Path) -> Part:
    """Return the entry of a part in the merged file.

    Raises:
        UserError: the part lies elsewhere, or is merged itself.
    """
    folder = Path(os.path.realpath(output)).parent
    path = Path(os.path.realpath(one.path))
    if not path.is_relative_to(folder):
        raise UserError(
            f"{one.path}: lies outside the folder of {output}; write the merged file beside its parts, or copy (--copy)"
        )
    if PARTS in one.info:
        raise UserError(f"{one.path}: is merged itself; give its parts, or copy (--copy)")
    events = len(next(iter(one.counts.values())))
    name = path.relative_to(folder).as_posix()
    return Part(name=name, bytes=path.stat().st_size, events=events, digest=one.info.get("digest"))


def _shifted_sources(contents: Sequence[_Content]) -> list[np.ndarray]:
    """Return the rows of ``source``, files numbered as in the list of all."""
    first, found = 0, []
    for one in contents:
        if one.sources is not None:
            found.append(one.sources + np.array([first, 0], one.sources.dtype))
        first += len(source_files(one.info))
    return found


def _link(writer: HDF5Writer, contents: Sequence[_Content], output: Path) -> None:
    folder = Path(os.path.realpath(output)).parent
    names = [Path(os.path.realpath(one.path)).relative_to(folder).as_posix() for one in contents]
    linked = {}
    for product, (dtype, shape) in contents[0].types.items():
        if product in OF_THE_FILE:
            continue
        counts = np.concatenate([one.counts[product] for one in contents])
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        pieces = [(name, int(one.counts[product].sum())) for name, one in zip(names, contents, strict=True)]
        linked[product] = LinkedRows(dtype, shape, offsets, pieces)
    sources = _shifted_sources(contents)
    own: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if sources:
        rows = np.concatenate(sources)
        own["source"] = (rows, np.arange(len(rows) + 1))
    writer.link(linked, own, sum(len(next(iter(one.counts.values()))) for one in contents))


def _copy(writer: HDF5Writer, contents: Sequence[_Content]) -> None:
    sources = _shifted_sources(contents)
    total = sum(len(next(iter(one.counts.values()))) for one in contents)
    with Progress("merge", total=total) as progress:
        for number, one in enumerate(contents):
            with HDF5Reader(one.path) as reader:
                for first in range(0, len(reader), _AT_ONCE):
                    end = min(first + _AT_ONCE, len(reader))
                    events: Mapping[str, tuple[np.ndarray, np.ndarray]] = reader.range(first, end)
                    if sources:
                        events = {**events, "source": (sources[number][first:end], events["source"][1])}
                    writer.append_events(events)
                    progress.advance(end - first)
