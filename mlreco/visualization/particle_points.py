"""Where the particles of an event begin and end, for the page that shows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS
from mlreco.post_processing.predicted import predicted_instances
from mlreco.semantics import ClassScheme
from mlreco.visualization.event_scales import Products


def particle_points(products: Products) -> list[dict[str, Any]]:
    """Return start and end of every particle of which they are known, of those with enough voxels to see.

    Args:
        products: name -> array of one event; nothing is known without the table ``particles``.

    Returns:
        ``kind`` (``start`` or ``end``), ``particle`` (number of the instance) and ``at`` (cm) of each point.
    """
    table = products.get("particles")
    if table is None or table.dtype.names is None:
        return []
    if "voxels" in table.dtype.names:
        table = table[table["voxels"] >= MIN_VOXELS]
    found = []
    for kind in ("start", "end"):
        places = np.stack([table[f"{kind}_{axis}"] for axis in "xyz"], axis=1).astype(float)
        for number, place in zip(table["particle"].tolist(), places, strict=True):
            if np.isfinite(place).all():
                found.append({"kind": kind, "particle": number, "at": place.round(3).tolist()})
    return found


def with_measured_particles(products: Products, scheme: ClassScheme) -> Products:
    """Return products with the table ``particles``, as it is where there is one.

    An event without instances, or without lengths in cm, has none.

    Args:
        products: name -> array of one event.
        scheme: numbering of the classes.
    """
    needed = ("coordinates", "energies", "semantics", "image_origin", "voxel_size", predicted_instances(products))
    if "particles" in products or any(name not in products for name in needed):
        return products
    from mlreco.particles.image import LabelledImage
    from mlreco.particles.reconstruction import reconstruct_particles

    image = LabelledImage.from_products(products, scheme)
    return {**products, "particles": reconstruct_particles(image).particles}
