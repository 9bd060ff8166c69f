"""Where the particles of an event begin and end, for the page that shows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlreco.post_processing.evaluation.evaluate import MIN_VOXELS
from mlreco.post_processing.predicted import predicted_instances
from mlreco.semantics import ClassScheme
from mlreco.visualization.event_scales import Products


def particle_points(products: Products, scheme: ClassScheme) -> list[dict[str, Any]]:
    """Return start and end of every particle of which they are known, of those with enough voxels to see.

    Args:
        products: name -> array of one event. Without a table ``particles`` its instances are measured, where lengths
            and classes are known.
        scheme: numbering of the classes.

    Returns:
        ``kind`` (``start`` or ``end``), ``particle`` (number of the instance) and ``at`` (cm) of each point.
    """
    table = products.get("particles")
    if table is None:
        table = _measured(products, scheme)
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


def _measured(products: Products, scheme: ClassScheme) -> np.ndarray | None:
    """Return the table of particles of an event that has instances and is measured in cm; None of another one."""
    needed = ("coordinates", "energies", "semantics", "image_origin", "voxel_size", predicted_instances(products))
    if any(name not in products for name in needed):
        return None
    from mlreco.particles.image import LabelledImage
    from mlreco.particles.reconstruction import reconstruct_particles

    return reconstruct_particles(LabelledImage.from_products(products, scheme)).particles
