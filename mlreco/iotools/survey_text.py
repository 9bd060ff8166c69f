"""The text of ``mlreco info``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.iotools.output.events import VOXEL_PRODUCTS
from mlreco.iotools.output.reader import HDF5Reader
from mlreco.iotools.skipped import skipped_lines
from mlreco.iotools.survey import FileSurvey, ProductSurvey, survey

_UNITS = {"sparse3d": "voxels", "cluster3d": "sets", "particle": "particles"}
_LONG_ATTRIBUTES = ("cfg",)
_IMAGES_SHOWN = 5


def survey_lines(found: FileSurvey) -> list[str]:
    """Return the lines that describe a file of events."""
    megabytes = found.path.stat().st_size / 1e6
    lines = [f"{found.path}: {found.kind}, {found.events} events, {megabytes:.1f} MB"]
    width = max((len(product.name) for product in found.products), default=0)
    products = [f"  {product.name:{width}}  {_product_text(product)}" for product in found.products]
    return [*lines, *_image_lines(found), *products, *_instance_lines(found)]


def _image_lines(found: FileSurvey) -> list[str]:
    lines = []
    for meta in found.images[:_IMAGES_SHOWN]:
        shape, size = " x ".join(map(str, meta.shape)), " x ".join(f"{edge:.4g}" for edge in meta.voxel_size)
        lines.append(f"  image: {shape} voxels of {size} cm")
    if len(found.images) > _IMAGES_SHOWN:
        lines.append(f"  ... {len(found.images)} geometries of images")
    return lines


def _instance_lines(found: FileSurvey) -> list[str]:
    lines = []
    for name, numbers in found.instances.items():
        text = ", ".join(f"{label} {number:.1f}" for label, number in numbers.items())
        lines.append(f"  instances per event in {name} ({found.schemes[name]}): {text}")
    if found.looked_into < found.events:
        lines.append(f"  values and instances are those of the first {found.looked_into} events")
    return lines


def _product_text(product: ProductSurvey) -> str:
    if product.unread:
        return product.unread
    unit = _UNITS[product.name.partition("_")[0]]
    if not len(product.counts):
        return f"no {unit}"
    counts = product.counts
    text = f"{unit} per event: mean {counts.mean():.1f}, spread {counts.std():.1f}, max {counts.max()}"
    if np.isfinite(product.low):
        text += f"; values {product.low:.4g} to {product.high:.4g}"
    return text


def output_lines(path: str | Path, look_into: int | None) -> list[str]:
    """Return the lines that describe an output file: completeness, attributes, products, images and instances.

    Args:
        path: the file.
        look_into: read the voxels of that many events; None for all.

    Raises:
        UserError: the file is damaged or no output file.
    """
    with HDF5Reader(path, allow_incomplete=True) as reader:
        complete = "complete" if reader.info.get("complete") else "INCOMPLETE, its writing did not end"
        lines = [f"{path}: output file, {len(reader)} events, {Path(path).stat().st_size / 1e6:.1f} MB, {complete}"]
        lines += [f"  {name}: {_attribute(name, value)}" for name, value in sorted(reader.info.items())]
        width = max((len(name) for name in reader.products), default=0)
        for name in reader.products:
            counts, kind = reader.row_counts(name), reader.row_type(name)
            text = f"{kind}, rows per event: mean {counts.mean():.1f}, spread {counts.std():.1f}, max {counts.max()}"
            lines.append(f"  {name:{width}}  {text if len(counts) else kind}")
        lines += [f"  {text}" for text in skipped_lines(reader.skipped, None)]
        if reader.info.get("complete") and set(VOXEL_PRODUCTS) <= set(reader.products):
            lines += _voxel_lines(survey(path, look_into))
        return lines


def _voxel_lines(found: FileSurvey) -> list[str]:
    """Return the lines on the images, energies and instances of an output file."""
    energies = [product for product in found.products if product.name == "sparse3d_pcluster"]
    text = [f"  energies: {product.low:.4g} to {product.high:.4g}" for product in energies if np.isfinite(product.low)]
    return [*_image_lines(found), *text, *_instance_lines(found)]


def _attribute(name: str, value: Any) -> str:
    if name in _LONG_ATTRIBUTES:
        return f"{len(str(value).splitlines())} lines"
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_attribute('', item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
