"""An event as an object: named arrays, mostly with one row a voxel, and methods to show, tabulate and save it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlreco.errors import UserError
from mlreco.iotools.output.products import EVENT, PRODUCTS
from mlreco.iotools.output.references import check_event
from mlreco.iotools.output.schema import class_count
from mlreco.particles.image import LabelledImage
from mlreco.particles.reconstruction import reconstruct_particles
from mlreco.reconstructor.tables import Particles, data_frame
from mlreco.semantics import PILARNET, class_scheme

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects as go

IDENTITY = tuple(name for name, product in PRODUCTS.items() if product.rows == EVENT)
"""Products with one row an event."""
INSTANCES, FRAGMENTS = "instances", "fragments"
_OF_PARTS = ("fragment_", "instance_")
"""Beginnings of the names of products with one row a fragment or instance."""
_FORMS = (".h5", ".hdf5", ".html")


def has_row_per_voxel(name: str, values: np.ndarray, voxels: int) -> bool:
    """Whether a product has a row for each voxel: tables of particles may have the same number of rows by chance."""
    if name in IDENTITY or name.startswith(_OF_PARTS) or values.dtype.names is not None:
        return False
    return len(values) == voxels


class Event(Mapping[str, np.ndarray]):
    """The products of one event, as a mapping (``event["energies"]``) and as attributes (``event.energies``).

    Args:
        products: name -> array.
        info: attributes of the file or chain of the event: ``classes``, ``class_scheme``, ``cfg`` and others.
        row_of_input: (M,) row of each voxel that was given to `Reconstructor.predict`, where some were merged.
        name: what the event is called.

    Attributes:
        coordinates: (N, 3) int32 voxel numbers x, y, z.
        energies: (N,) float32, MeV.
        semantics: (N,) int8 classes in which the voxels were clustered, numbers of `classes`.
        fragments: (N,) int32 pieces that the clusterer found, -1 for none.
        embeddings: (N, D) float32, D dimensions; the chains `thin` and `fat` have 6.
        margins: (N,) float32.
        seediness: (N,) float32.
        semantic_scores: (N, classes) float32 probabilities.
        semantics_true: (N,) int8 true classes, where labels are known.
        instances_true: (N,) int32 true instances, where labels are known.
        info: as given.
        name: as given.
        warnings: warnings about this event, a line each.

    Raises:
        UserError: products do not fit together, such as energies for more voxels than there are coordinates.
    """

    coordinates: np.ndarray
    energies: np.ndarray
    semantics: np.ndarray
    fragments: np.ndarray
    embeddings: np.ndarray
    margins: np.ndarray
    seediness: np.ndarray
    semantic_scores: np.ndarray
    semantics_true: np.ndarray
    instances_true: np.ndarray

    def __init__(
        self,
        products: Mapping[str, np.ndarray],
        info: Mapping[str, Any] | None = None,
        row_of_input: np.ndarray | None = None,
        name: str = "event",
        warnings: tuple[str, ...] = (),
    ) -> None:
        self._products = {key: np.asarray(rows) for key, rows in products.items()}
        self.info = dict(info or {})
        self.name = name
        try:
            check_event(self._products, class_count(self.info))
        except ValueError as error:
            raise UserError(f"{name}: {error}") from None
        self.warnings = warnings
        self._row_of_input = row_of_input

    def __getitem__(self, name: str) -> np.ndarray:
        return self._products[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._products)

    def __len__(self) -> int:
        return len(self._products)

    def __getattr__(self, name: str) -> np.ndarray:
        products = self.__dict__.get("_products", {})
        if name in products:
            return products[name]
        close = difflib.get_close_matches(name, products, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(sorted(products))}"
        raise AttributeError(f"this event has no '{name}'{hint}")

    def _of_event(self, name: str) -> list[Any]:
        """Return the only row of a product."""
        if name not in self._products:
            raise AttributeError(f"this event has no '{name}'")
        return self._products[name][0].tolist()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._products})

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        counts = [f"{self.num_voxels} voxels"]
        if "energies" in self:
            counts.append(f"{self['energies'].sum(dtype=np.float64):.1f} MeV")
        if INSTANCES in self or FRAGMENTS in self:
            counts.append(f"{len(np.unique(self.instances[self.instances >= 0]))} instances")
        return f"<{self.name}: {', '.join(counts)}>"

    @property
    def num_voxels(self) -> int:
        """Number of voxels."""
        return len(self["coordinates"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the semantic classes, by number."""
        return tuple(self.info.get("classes", ()))

    @property
    def instances(self) -> np.ndarray:
        """(N,) int32 particle instance of each voxel, -1 for none: of the last stage that makes them, else fragments.

        A chain without a stage that joins fragments has fragments for instances.
        """
        found = self._products.get(INSTANCES)
        return self.fragments if found is None else found

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Edges of a voxel, cm."""
        x, y, z = self._of_event("voxel_size")
        return (x, y, z)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Number of voxels of the image along x, y, z."""
        x, y, z = self._of_event("image_shape")
        return (x, y, z)

    @property
    def image_origin(self) -> tuple[float, float, float]:
        """Position of the corner of voxel (0, 0, 0), cm."""
        x, y, z = self._of_event("image_origin")
        return (x, y, z)

    @property
    def event_id(self) -> tuple[int, int, int]:
        """Run, subrun, event."""
        run, subrun, number = self._of_event("event_id")
        return (run, subrun, number)

    @property
    def positions(self) -> np.ndarray:
        """(N, 3) float64 centres of the voxels, cm."""
        return np.asarray(self.image_origin) + (self["coordinates"] + 0.5) * np.asarray(self.voxel_size)

    @property
    def row_of_input(self) -> np.ndarray:
        """(M,) int64 row of each voxel that was given: 0, 1, 2, ... unless some were given twice and merged."""
        return np.arange(self.num_voxels) if self._row_of_input is None else self._row_of_input

    @property
    def particles(self) -> Particles:
        """The instances in numbers, one row each.

        Raises:
            UserError: the event is not reconstructed.
        """
        if INSTANCES not in self and FRAGMENTS not in self:
            raise UserError(f"{self.name}: this event has no instances; reconstruct it first")
        scheme = class_scheme(str(self.info.get("class_scheme", PILARNET.name)))
        table = self._products.get("particles")
        if table is None:
            image = LabelledImage.from_products({**self._products, INSTANCES: self.instances}, scheme)
            table = reconstruct_particles(image).particles
        return Particles(table, scheme.classes)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the voxels as a table, a row each; columns of several numbers have theirs as separate columns.

        Raises:
            UserError: pandas is not installed.
        """
        rows = self.num_voxels
        columns = {name: values for name, values in self.items() if has_row_per_voxel(name, values, rows)}
        if INSTANCES not in columns and FRAGMENTS in columns:
            columns[INSTANCES] = self.instances
        flat: dict[str, np.ndarray] = {}
        for name, values in columns.items():
            if values.ndim == 1:
                flat[name] = values
            else:
                flat |= {part: values[:, i] for i, part in enumerate(_parts(name, values, self.classes))}
        return data_frame(flat)

    def show(self, colour: str = "instances", space: str = "image") -> go.Figure:
        """Return a plotly figure of the voxels; a notebook shows it.

        Args:
            colour: product that gives the colours: ``instances``, ``semantics``, ``energies``, ``instances_true`` ...
            space: ``image`` (cm) or ``embedding``.

        Raises:
            UserError: the event lacks a product that is needed.
        """
        from mlreco.visualization.event_figure import event_figure

        return event_figure(self, colour, space)

    def save(self, path: str | Path) -> None:
        """Write the event: an output file (``.h5``), or a page that shows it (``.html``).

        Raises:
            UserError: another ending, or the file cannot be written.
        """
        save_events(path, [self])


def save_events(path: str | Path, events: Event | Iterable[Event]) -> None:
    """Write events into an output file (``.h5``), as ``mlreco inference`` does, or one event into a page (``.html``).

    Args:
        path: file to write; it appears only when complete.
        events: events of one chain or one file, or a single one.

    Raises:
        UserError: no events, another ending, events with different products, or the file cannot be written.
    """
    if not isinstance(path, (str, Path)):
        raise UserError(f"a file is named by a text or a path, not {type(path).__name__}: mlreco.save(path, events)")
    path, events = Path(path), [events] if isinstance(events, Event) else list(events)
    if path.suffix.lower() not in _FORMS:
        raise UserError(f"{path}: events are saved as .h5 (an output file) or .html (a page), not '{path.suffix}'")
    if not events:
        raise UserError(f"{path}: no events to save")
    for number, event in enumerate(events):
        if not isinstance(event, Event):
            raise UserError(f"{path}: item {number} is no event but {type(event).__name__}")
        if event.keys() != events[0].keys():
            differing = sorted(event.keys() ^ events[0].keys())
            raise UserError(f"{path}: event {number} and the first one differ in products: {', '.join(differing)}")
    if path.suffix.lower() == ".html":
        _save_page(path, events)
        return
    from mlreco.iotools import HDF5Writer
    from mlreco.iotools.output.carried import of_the_events

    first = events[0].info
    with HDF5Writer(path, of_the_events(first), first.get("columns")) as writer:
        for event in events:
            writer.append(event)


def _save_page(path: Path, events: list[Event]) -> None:
    from mlreco.atomic import write_text
    from mlreco.visualization.event_browser import page_of_products

    if len(events) > 1:
        raise UserError(f"{path}: a page shows one event; save several as .h5 and say 'mlreco display'")
    write_text(path, page_of_products(dict(events[0]), events[0].info, events[0].event_id[2]))


def _parts(name: str, values: np.ndarray, classes: tuple[str, ...]) -> list[str]:
    """Return the names of the columns of a product."""
    if name == "coordinates":
        return list("xyz")
    if name == "semantic_scores" and values.shape[1] == len(classes):
        return [f"score_{one}" for one in classes]
    return [f"{name}_{i + 1}" for i in range(values.shape[1])]
