"""One event as a plotly figure, for notebooks."""

from __future__ import annotations

from collections.abc import ItemsView, KeysView, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mlreco.errors import UserError, nearest
from mlreco.visualization.colours import NO_INSTANCE_COLOUR, class_colours, distinct_colours
from mlreco.visualization.event_scales import embedding_space, energy_scale, image_space, marker_style

if TYPE_CHECKING:
    import plotly.graph_objects as go

SPACES = ("image", "embedding")
_CLASSES = ("semantics", "semantics_predicted", "semantics_true")
_INSTANCES = ("instances", "fragments", "instances_true")


class ShownEvent(Protocol):
    """What a figure takes from an event, a mapping of products such as `mlreco.Event`."""

    @property
    def name(self) -> str:
        """What the event is called."""

    @property
    def num_voxels(self) -> int:
        """Number of voxels."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the semantic classes, by number."""

    @property
    def instances(self) -> np.ndarray:
        """(N,) instance of each voxel, -1 for none."""

    @property
    def positions(self) -> np.ndarray:
        """(N, 3) centres of the voxels, cm."""

    def __getitem__(self, name: str) -> np.ndarray: ...
    def __contains__(self, name: object) -> bool: ...
    def keys(self) -> KeysView[str]:
        """Return the names of the products."""

    def items(self) -> ItemsView[str, np.ndarray]:
        """Return the products with their names."""


def event_figure(event: ShownEvent, colour: str, space: str) -> go.Figure:
    """Return the voxels of an event in three dimensions.

    Args:
        event: the event.
        colour: a product with one number a voxel; classes and instances have a colour each.
        space: ``image``, in cm, or ``embedding``.

    Raises:
        UserError: no such space, or the event lacks a product that is needed.
    """
    import plotly.graph_objects as go

    values = _values(event, colour)
    positions, axes = _space(event, space)
    style = marker_style(len(values))
    marker = {"size": style["size"], "symbol": style["symbol"], "line": {"width": 0}, **_colours(event, colour, values)}
    texts = [f"{colour} {value:.4g}" for value in values.tolist()]
    x, y, z = positions.T
    figure = go.Figure(go.Scatter3d(x=x, y=y, z=z, mode="markers", marker=marker, text=texts, hoverinfo="x+y+z+text"))
    scene = {
        f"{name}axis": {"title": {"text": title}, "range": limits}
        for name, title, limits in zip("xyz", axes["titles"], axes["ranges"], strict=True)
    }
    figure.update_layout(
        title=f"{event.name}: {colour.replace('_', ' ')}",
        scene={**scene, "aspectmode": "data"},
        height=620,
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
    )
    return figure


def _values(event: ShownEvent, colour: str) -> np.ndarray:
    rows = event.num_voxels
    known = [name for name, values in event.items() if np.shape(values) == (rows,)]
    if colour == "instances" and ("instances" in known or "fragments" in known):
        return event.instances
    if colour == "instances" and "energies" in known:
        raise UserError("this event is not reconstructed yet; show it by colour='energies'")
    if colour not in known:
        raise UserError(f"cannot colour by '{colour}'{nearest(colour, known)}")
    return event[colour]


def _space(event: ShownEvent, space: str) -> tuple[np.ndarray, dict[str, Any]]:
    if space not in SPACES:
        raise UserError(f"no space '{space}'{nearest(space, SPACES)}")
    if space == "embedding":
        if "embeddings" not in event:
            raise UserError("this event has no embeddings; show it in space='image'")
        return event["embeddings"][:, :3], embedding_space(event["embeddings"])
    if not event.num_voxels:
        return event.positions, {"titles": ["x [cm]", "y [cm]", "z [cm]"], "ranges": [[0, 1]] * 3}
    return event.positions, image_space(dict(event))


def _colours(event: ShownEvent, colour: str, values: np.ndarray) -> Mapping[str, Any]:
    if colour in _CLASSES:
        palette = [*class_colours(list(event.classes)).values(), NO_INSTANCE_COLOUR]
        return {"color": [palette[number] if 0 <= number < len(palette) else palette[-1] for number in values.tolist()]}
    if colour in _INSTANCES:
        numbers = np.unique(values[values >= 0]).tolist()
        of_instance = dict(zip(numbers, distinct_colours(len(numbers)), strict=True))
        return {"color": [of_instance.get(number, NO_INSTANCE_COLOUR) for number in values.tolist()]}
    if colour == "energies":
        scale = energy_scale(values)
        logs = np.log10(np.maximum(values.astype(float), 10 ** scale["low"]))
        bar = {"title": {"text": "MeV"}, "tickvals": scale["ticks"], "ticktext": scale["labels"]}
        limits = {"cmin": scale["low"], "cmax": scale["high"]}
        return {"color": logs, "colorscale": "Inferno", "reversescale": True, "colorbar": bar, **limits}
    return {"color": values.astype(float), "colorscale": "Viridis", "colorbar": {"title": {"text": colour}}}
