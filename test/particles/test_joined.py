"""Particles of several events measured at once are those of each event alone."""

from dataclasses import fields, replace

import numpy as np
import pytest
from drawn_particles import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.errors import UserError
from mlreco.particles.particle_builder import ParticleBuilder
from mlreco.particles.reconstruction import reconstruct_events, reconstruct_particles
from mlreco.semantics import PILARNET


def part_of(image, keep, **changes):
    """The scene with some of its particles, elsewhere."""
    rows = np.isin(image.instances, keep)
    kept = {
        name: getattr(image, name)[rows]
        for name in ("coordinates", "semantics", "instances", "energies", "margins")
        if getattr(image, name) is not None
    }
    return replace(image, **{**kept, **changes})


def assert_as_alone(images):
    for together, image in zip(reconstruct_events(images), images, strict=True):
        alone = reconstruct_particles(image)
        for field in fields(alone):
            one, other = getattr(together, field.name), getattr(alone, field.name)
            for column in one.dtype.names:
                np.testing.assert_array_equal(one[column], other[column], f"{field.name} {column}")


@settings(max_examples=8)
@given(kept=st.lists(st.sets(st.integers(0, 3)), min_size=1, max_size=4), told=st.booleans(), data=st.data())
def test_events_measured_together_are_as_alone(kept, told, data):
    numbers = st.lists(st.integers(-1, 2), min_size=4, max_size=4)
    images = [
        part_of(
            scene(),
            sorted(keep),
            origin=tuple(data.draw(st.tuples(*[st.sampled_from([-20.0, 0.0, 7.5])] * 3))),
            interactions=np.array(data.draw(numbers)) if told else None,
        )
        for keep in kept
    ]
    assert_as_alone(images)


def test_events_that_tell_different_things_are_measured_together():
    image = scene()
    margins = np.linspace(0, 1, len(image.semantics))
    told = replace(image, confidences=np.array([0.9, 0.8, 0.7, 0.6]), margins=margins)
    short = replace(told, confidences=np.array([0.5]))
    coarse = replace(image, voxel_size=(0.4, 0.4, 0.4))
    empty = part_of(told, [])
    assert_as_alone([told, empty, short, image, coarse, replace(image, shape=None), replace(image, energies=None)])


def test_an_array_that_does_not_fit_its_event_is_refused_even_where_it_fits_the_sum():
    image = scene()
    longer, shorter = np.ones(len(image.semantics) + 1), np.ones(len(image.semantics) - 1)
    with pytest.raises(UserError, match="coordinates and margins of an event must have the same number of rows"):
        reconstruct_events([replace(image, margins=longer), replace(image, margins=shorter)])


def test_the_builder_names_the_event_that_it_cannot_take():
    image, builder = scene(), ParticleBuilder()
    event = {name: getattr(image, name) for name in ("coordinates", "semantics", "instances", "energies")}
    events = [event | {"event_id": np.array([[1, 2, number]])} for number in range(3)]
    tables = builder.of_events(events, PILARNET)
    np.testing.assert_array_equal(tables[2]["particles"]["voxels"], builder(event, PILARNET)["particles"]["voxels"])
    with pytest.raises(UserError, match=r"run 1 subrun 2 event 1: .*same number of rows"):
        builder.of_events([events[0], events[1] | {"energies": np.ones(3)}, events[2]], PILARNET)
    del events[2]["energies"]
    with pytest.raises(UserError, match="run 1 subrun 2 event 2: no product 'energies'"):
        builder.of_events(events, PILARNET)
