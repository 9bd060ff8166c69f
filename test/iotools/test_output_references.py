"""Numbers of an output file that stand for rows of other products: told where these rows are not there."""

import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.errors import UserError
from mlreco.iotools import HDF5Reader, HDF5Writer
from mlreco.iotools.output.products import PRODUCTS, TABLES
from mlreco.iotools.output.references import DanglingError, References
from mlreco.particles.columns import DEDX, INTERACTION, particle_type
from mlreco.particles.matching import MATCH
from mlreco.particles.truth import TRUE_PARTICLE
from mlreco.semantics import PILARNET

KINDS = {"iu": np.int32, "f": np.float32}


def table(dtype, **columns):
    rows = np.zeros(len(next(iter(columns.values()))), dtype)
    for name, values in columns.items():
        rows[name] = values
    return rows


def event(voxels, fragments):
    """An event with every product that stands for another: two instances, three true particles, an interaction."""
    numbers = np.arange(voxels, dtype=np.int32)
    found = {
        "coordinates": np.stack([numbers] * 3, axis=1),
        "energies": np.ones(voxels, np.float32),
        "fragments": numbers % (fragments + 1) - 1,
        "fragment_classes": np.zeros(fragments, np.int8),
        "fragment_class_scores": np.zeros((fragments, 5), np.float32),
        "fragment_edges": np.array([[fragments - 1, 0], [1, 0]], np.int32),
        "fragment_edge_scores": np.ones(2, np.float32),
        "instances": numbers % 3 - 1,
        "instance_confidences": np.ones(2, np.float32),
        "instance_interactions": np.zeros(2, np.int32),
        "instances_true": numbers % 3,
        "particles": table(particle_type(PILARNET), particle=[0, 1], parent=[-1, 0], interaction=[0, 0]),
        "interactions": table(INTERACTION, interaction=[0]),
        "track_dedx": table(DEDX, particle=[0, 0, 1]),
        "particles_true": table(TRUE_PARTICLE, particle=[0, 1, 7], parent=[-1, 0, 1]),
        "matches": table(MATCH, particle=[0, 1], match=[7, -1]),
        "matches_true": table(MATCH, particle=[0, 1, 7], match=[-1, -1, 0]),
    }
    graph = {"graph_edges": found["fragment_edges"], "graph_classes": found["fragment_classes"]}
    return {**found, **graph}


INFO = {"class_scheme": "pilarnet", "classes": list(PILARNET.classes)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "sound.h5"
    with HDF5Writer(path, INFO) as writer:
        for voxels, fragments in ((9, 4), (12, 3), (6, 5)):
            writer.append(event(voxels, fragments))
    return path


@pytest.fixture
def changed(sound, tmp_path):
    return shutil.copy(sound, tmp_path / "changed.h5")


def change(path, product, row, value, column=None):
    with h5py.File(path, "a") as file:
        del file["info"].attrs["digest"]
        values = file[f"products/{product}/values"]
        rows = values[()]
        (rows if column is None else rows[column])[row] = value
        values[...] = rows


def refused(path, message, products=None):
    text = rf"changed\.h5: event 1: product {message}"
    for read in (lambda reader: reader.range(0, 3, products), lambda reader: reader.event(1, products)):
        with HDF5Reader(path) as reader, pytest.raises(UserError, match=text) as told:
            read(reader)
        assert "\n" not in str(told.value)
    with HDF5Reader(path) as reader:
        reader.event(0)
        reader.event(2)


def test_what_is_sound_is_read(sound):
    with HDF5Reader(sound) as reader:
        assert len(reader.range(0, 3)["fragments"][0]) == 27
        assert np.array_equal(reader.event(2)["fragments"], event(6, 5)["fragments"])


@pytest.mark.parametrize(
    ("product", "row", "value", "message"),
    [
        ("fragments", 9, 3, "'fragments': damaged output file: holds 3; the event has 3 fragments, numbered from 0"),
        ("fragments", 20, 2**31 - 1, "'fragments': .* holds 2147483647; the event has 3 fragments"),
        ("fragment_edges", (3, 1), 3, "'fragment_edges': .* holds 3; the event has 3 fragments"),
        ("graph_edges", (2, 0), 7, "'graph_edges': .* holds 7; the event has 3 fragments of the graph"),
        ("instances", 9, 2, "'instances': .* holds 2; the event has 2 instances"),
        ("fragment_classes", 4, 5, "'fragment_classes': .* holds 5; the event has 5 classes"),
        ("graph_classes", 4, 100, "'graph_classes': .* holds 100; the event has 5 classes"),
    ],
)
def test_a_number_beyond_the_rows_that_it_stands_for(changed, product, row, value, message):
    change(changed, product, row, value)
    refused(changed, message)
    refused(changed, message, [product])  # how many rows there are is known without reading them


@pytest.mark.parametrize(
    ("product", "column", "row", "value", "message"),
    [
        ("particles", "particle", 2, -1, "'particles': .* column 'particle' holds -1, which is out of range"),
        ("particles", "particle", 2, 1, "'particles': .* column 'particle' holds 1, in two rows"),
        ("particles", "parent", 3, 2, "'particles': .* 'parent' holds 2, which 'particles' does not have"),
        ("particles", "interaction", 3, 1, "'particles': .* 'interaction' holds 1, which 'interactions' does not"),
        ("particles", "interaction", 3, -2, "'particles': .* 'interaction' holds -2, which 'interactions' does not"),
        ("interactions", "interaction", 1, -5, "'interactions': .* 'interaction' holds -5, which is out of range"),
        ("track_dedx", "particle", 4, 2, "'track_dedx': .* 'particle' holds 2, which 'particles' does not have"),
        ("matches", "match", 2, 5, "'matches': .* 'match' holds 5, which 'particles_true' does not have"),
        ("matches", "particle", 2, 3, "'matches': .* 'particle' holds 3, which 'particles' does not have in that row"),
        ("matches_true", "match", 5, 6, "'matches_true': .* 'match' holds 6, which 'particles' does not have"),
        ("particles_true", "parent", 4, 8, "'particles_true': .* 'parent' holds 8, which 'particles_true' does not"),
    ],
)
def test_a_number_that_no_row_of_the_other_table_has(changed, product, column, row, value, message):
    change(changed, product, row, value, column)
    refused(changed, message)
    others = [name for name in TABLES[product].references.values() if name != product]
    if others:  # a table that is read alone is not compared with others
        with HDF5Reader(changed) as reader:
            assert reader.range(0, 3, [others[0]])


@pytest.mark.parametrize(
    ("product", "other"),
    [
        ("fragment_class_scores", "fragment_classes"),
        ("fragment_edge_scores", "fragment_edges"),
        ("instance_interactions", "instance_confidences"),
        ("matches", "particles"),
        ("matches_true", "particles_true"),
    ],
)
def test_products_with_rows_for_the_same_have_equally_many(changed, product, other):
    with h5py.File(changed, "a") as file:
        del file["info"].attrs["digest"]
        offsets = file[f"products/{product}/event_offsets"]
        offsets[1] = offsets[1] + 1
    with pytest.raises(UserError, match=f"product '{product}' has . rows in event 0 and not those of '{other}', ."):
        HDF5Reader(changed)


@pytest.mark.parametrize(
    ("product", "made", "message"),
    [
        ("fragment_class_scores", np.zeros((2, 7), np.float32), r"rows \(7,\); rows \(5,\) of floats"),
        ("fragment_edges", np.zeros(4, np.int32), r"rows \(\); rows \(2,\) of whole numbers"),
        ("particles", np.zeros(2, [("energy", "f4")]), "has no column 'particle'"),
        ("matches", np.zeros(2, [("particle", "f4"), ("match", "i4")]), "'particle' as float32; whole numbers"),
        ("interactions", np.zeros(2, np.float32), "holds plain numbers and no column 'interaction'"),
    ],
)
def test_types_of_tables(changed, product, made, message):
    with h5py.File(changed, "a") as file:
        del file["info"].attrs["digest"]
        rows = len(file[f"products/{product}/values"])
        del file[f"products/{product}/values"]
        file[f"products/{product}/values"] = np.resize(made, (rows, *made.shape[1:]))
    with pytest.raises(UserError, match=rf"changed\.h5: damaged output file: product '{product}' .*{message}"):
        HDF5Reader(changed)


@pytest.mark.parametrize(
    ("product", "values", "message"),
    [
        ("fragments", np.full(9, 4, np.int32), "event 1: product 'fragments' holds 4; the event has 4 fragments"),
        ("energies", np.ones(8, np.float32), "'energies' has 8 rows and not those of 'coordinates', 9"),
    ],
)
def test_nothing_is_written_that_would_not_be_read(tmp_path, product, values, message):
    path = tmp_path / "new.h5"
    with pytest.raises(UserError, match=message), HDF5Writer(path, INFO) as writer:
        writer.append(event(9, 4))
        writer.append({**event(9, 4), product: values})
    assert not path.exists()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(-1, 5), max_size=6)), min_size=1, max_size=6),
    st.lists(st.tuples(st.lists(st.integers(0, 4), unique=True), st.lists(st.integers(-1, 5))), min_size=1),
)
def test_as_event_by_event(fragments, tracks):
    """The first event with a number that stands for nothing is the one that a loop over its numbers finds."""
    values = [np.array(numbers, np.int32) for _, numbers in fragments]
    rows = {"fragments": offsets(values), "fragment_classes": offsets([range(count) for count, _ in fragments])}
    wrong = [place for place, (count, numbers) in enumerate(fragments) if any(n >= count for n in numbers)]
    check(References(rows), {"fragments": (np.concatenate(values), rows["fragments"])}, rows, wrong)

    particles = [table(particle_type(PILARNET), particle=numbers, parent=[-1] * len(numbers)) for numbers, _ in tracks]
    steps = [table(DEDX, particle=numbers) for _, numbers in tracks]
    events = {
        "particles": (np.concatenate(particles), offsets(particles)),
        "track_dedx": (np.concatenate(steps), offsets(steps)),
    }
    wrong = [place for place, (known, numbers) in enumerate(tracks) if {*numbers} - {-1, *known}]
    check(References(events), events, {}, wrong)


def offsets(lists):
    return np.concatenate([[0], np.cumsum(list(map(len, lists)))]).astype(int)


def check(references, events, rows, wrong):
    if not wrong:
        references.check(events, rows.get)
        return
    with pytest.raises(DanglingError) as told:
        references.check(events, rows.get)
    assert told.value.event == wrong[0]


def test_every_product_that_numbers_rows_names_rows_that_exist():
    rows = {product.rows for product in (*PRODUCTS.values(), *TABLES.values())} | {"classes"}
    assert {product.numbers for product in PRODUCTS.values()} - {None} <= rows
    for known in TABLES.values():
        assert all(TABLES[target].key for target in known.references.values())
