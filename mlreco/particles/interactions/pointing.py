"""Showers that point at junctions of tracks."""

from __future__ import annotations

import numpy as np

from mlreco.particles.interactions.draft import Draft
from mlreco.particles.interactions.junction_points import JunctionPoints
from mlreco.particles.interactions.measured import Measured
from mlreco.particles.vertices import SECONDARY, Attachments, attach_showers


def point_at(event: Measured, points: JunctionPoints, priors: np.ndarray) -> Attachments:
    """Return to which junction each shower points, of those in its interaction."""
    showers, chosen, circles = event.showers, event.electromagnetic, event.circles
    return attach_showers(
        showers.positions[chosen],
        showers.directions[chosen],
        event.shower_errors[chosen],
        showers.sense[chosen],
        circles[chosen],
        points.positions,
        priors,
        circles[points.track],
    )


def join_pointing_showers(draft: Draft, event: Measured, points: JunctionPoints) -> None:
    """Let showers belong to the junction at which they point."""
    chosen = event.electromagnetic
    attached = point_at(event, points, np.where(points.arriving < 0, 1.0, SECONDARY))
    draft.group[chosen] = np.append(points.groups, -1)[attached.point]
    draft.parent[chosen] = np.append(points.arriving, -1)[attached.point]
    draft.backward[chosen] = attached.sense == 1
    by_widening = np.abs(event.showers.sense[chosen])
    draft.odds[chosen] = np.where(attached.point >= 0, np.log(np.maximum(attached.odds, 1.0)), by_widening)
