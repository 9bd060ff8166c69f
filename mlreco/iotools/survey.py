"""Statistics of the content of a file of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.checks import check_classes
from mlreco.iotools.interface import ClusterVoxels, Reader, holds_classes, read_product, told_scheme
from mlreco.iotools.larcv3.layout import KINDS
from mlreco.iotools.parsers.clusters import parse_cluster3d_clean_full
from mlreco.iotools.parsers.sharing import precedence_ranks, set_classes
from mlreco.iotools.readers import open_reader
from mlreco.progress import Progress
from mlreco.semantics import class_scheme
from mlreco.voxels import EventVoxels, ImageMeta

LOOKED_INTO = 100
"""Number of events that are read; of the others only the tables are used."""


@dataclass
class ProductSurvey:
    """One product.

    Attributes:
        name: for example ``sparse3d_pcluster``.
        counts: voxels (of an image), sets or particles of each event: of all events where ``complete``, else of those
            that were read.
        complete: whether ``counts`` are those of all events.
        low: smallest value, NaN without values.
        high: largest value.
        unread: why the product is not read, where it is not.
    """

    name: str
    counts: np.ndarray
    complete: bool = False
    low: float = np.nan
    high: float = np.nan
    unread: str = ""


@dataclass
class FileSurvey:
    """One file.

    Attributes:
        path: the file.
        kind: name of its format.
        events: number of events.
        looked_into: number of events whose voxels were read: the first ones.
        products: the products.
        images: sizes of the images that occurred.
        schemes: name of the cluster product -> class scheme in which its instances are counted.
        instances: name of the cluster product -> mean number of instances an event, by class name.
    """

    path: Path
    kind: str
    events: int
    looked_into: int
    products: list[ProductSurvey]
    images: list[ImageMeta]
    schemes: dict[str, str] = field(default_factory=dict)
    instances: dict[str, dict[str, float]] = field(default_factory=dict)


def survey(path: str | Path, look_into: int | None = LOOKED_INTO, scheme: str = "pilarnet") -> FileSurvey:
    """Count what a file holds.

    Args:
        path: a file of any kind that is read.
        look_into: read the voxels of that many events, the first ones; None for all.
        scheme: numbering of the classes, where neither the file nor the name of the product tells it.

    Raises:
        UserError: the file or one of the events that are read is damaged.
    """
    reader = open_reader(path)
    events = len(reader) if look_into is None else min(len(reader), look_into)
    names = reader.products()
    products = {name: _begin(reader, name) for name in names}
    lost = [ProductSurvey(name, np.zeros(0, np.int64), unread=why) for name, why in _unusable(reader).items()]
    images: dict[ImageMeta, None] = {}
    classes = {name: product for name in names if (product := _classes_of(name, names)) is not None}
    schemes = {name: _scheme_of(reader, product, scheme) for name, product in classes.items()}
    tallies = {name: np.zeros(len(class_scheme(chosen)), np.int64) for name, chosen in schemes.items()}
    with Progress(f"{Path(path).name}", total=events) as progress:
        for index in range(events):
            read = [name for name in names if not products[name].unread]
            contents: dict[str, Any] = {name: read_product(reader, index, name) for name in read}
            for name in filter(holds_classes, contents):
                check_classes(contents[name], f"{path}: event {index}: {name}")
            for name, content in contents.items():
                _look(products[name], content)
                if not isinstance(content, np.ndarray):
                    images[content.meta] = None
            for name, product in classes.items():
                where = f"{path}: event {index}: {name}"
                tallies[name] += _instances(contents[name], contents[product], schemes[name], where)
            progress.advance()
    reader.close()
    instances = {
        name: dict(zip(class_scheme(schemes[name]).classes, (tally / events).tolist(), strict=True))
        for name, tally in tallies.items()
        if events
    }
    kind = getattr(reader, "format_name", type(reader).__name__)
    return FileSurvey(
        Path(path), kind, len(reader), events, [*products.values(), *lost], list(images), schemes, instances
    )


def _unusable(reader: Reader) -> dict[str, str]:
    return getattr(reader, "unusable", {})


def _begin(reader: Reader, name: str) -> ProductSurvey:
    """Return the survey of a product with the counts in its tables."""
    if name.partition("_")[0] not in KINDS:
        return ProductSurvey(name, np.zeros(0, np.int64), unread="a kind that is not read")
    row_counts = getattr(reader, "voxel_counts", None)
    counts = None if row_counts is None else row_counts(name)
    return ProductSurvey(name, np.zeros(0, np.int64) if counts is None else counts, complete=counts is not None)


def _look(product: ProductSurvey, content: EventVoxels | ClusterVoxels | np.ndarray) -> None:
    count = content.num_sets if isinstance(content, ClusterVoxels) else len(content)
    if not product.complete:
        product.counts = np.append(product.counts, count)
    values = content.values if isinstance(content, ClusterVoxels) else getattr(content, "features", np.zeros(0))
    if values.size:
        product.low = float(np.fmin(product.low, values.min()))
        product.high = float(np.fmax(product.high, values.max()))


def _classes_of(name: str, names: tuple[str, ...]) -> str | None:
    """Return the image of classes that belongs to voxel sets: that of their producer, or the only one."""
    kind, _, producer = name.partition("_")
    if kind != "cluster3d":
        return None
    images = [other for other in names if holds_classes(other)]
    wanted = f"sparse3d_{producer}_semantics"
    return wanted if wanted in images else next(iter(images), None)


def _scheme_of(reader: Reader, product: str, default: str) -> str:
    return told_scheme(reader, product) or default


def _instances(sets: ClusterVoxels, image: EventVoxels, scheme: str, where: str) -> np.ndarray:
    """Return the number of instances of each class, the class being the most common among an instance's voxels."""
    try:
        table = parse_cluster3d_clean_full(sets, sparse_semantics_event=image, class_scheme=scheme)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    owners = table.column("cluster").astype(np.int64)
    inside = owners >= 0
    ranks = precedence_ranks(class_scheme(scheme))
    classes = set_classes(table.column("semantic")[inside].astype(np.int64), owners[inside], sets.num_sets, ranks)
    return np.bincount(classes[classes >= 0], minlength=len(class_scheme(scheme)))
