"""Jobs: what a kernel reads is what was given by name, checked, and held."""

import gc
import struct
import weakref

import numpy as np
import pytest
import torch

from mlreco.sparse.native.jit import SharedKernel
from mlreco.sparse.native.job import CODE, FLOAT, INT, OWN, RECORD, Job, Layout, Numbers

INNER = Layout(size=INT)
LAYOUT = Layout(
    counter=OWN,
    rows=INT,
    x=Numbers(np.float32, ("rows", "columns", 2)),
    index=Numbers(np.int32, ("rows",), optional=True),
    free=Numbers(np.float64, any_strides=True),
    slope=FLOAT,
    work=CODE,
    inner=RECORD,
)


def _nothing(job, worker):
    pass


WORK = SharedKernel(_nothing)
DIMS = {"columns": 3}


def values(**changes):
    given = {
        "rows": 4,
        "x": torch.zeros(4, 3, 2),
        "index": np.zeros(4, np.int32),
        "free": np.zeros((6, 6)).T[::2],
        "slope": 0.25,
        "work": WORK,
        "inner": Job(INNER, size=7),
    }
    return {name: value for name, value in {**given, **changes}.items() if value is not ...}


def read(job, layout):
    numbers = np.ctypeslib.as_array((np.ctypeslib.ctypes.c_int64 * len(layout.fields)).from_address(job.address))
    return numbers.copy().view(layout.dtype)[0]


def test_a_kernel_reads_what_was_given():
    given = values()
    found = read(Job(LAYOUT, DIMS, **given), LAYOUT)
    assert LAYOUT.dtype.names == tuple(LAYOUT.fields)
    assert (found["counter"], found["rows"], found["slope"]) == (0, 4, 0.25)
    assert found["x"] == given["x"].data_ptr()
    assert found["index"] == given["index"].ctypes.data
    assert found["free"] == given["free"].ctypes.data
    assert found["work"] == WORK.address
    assert found["inner"] == given["inner"].address
    assert read(given["inner"], INNER)["size"] == 7
    assert read(Job(LAYOUT, DIMS, **values(index=None)), LAYOUT)["index"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(4, 2, 2)}, r"x must have the shape \(4, 3, 2\), not \(4, 2, 2\)"),
        ({"rows": 5}, r"x must have the shape \(5, 3, 2\)"),
        (
            {"x": torch.zeros(4, 3, 2).double()},
            "x must be float32, C-contiguous and on the CPU; .* of torch.float64",
        ),
        ({"x": torch.zeros(2, 3, 4).permute(2, 1, 0)}, "x must be float32, C-contiguous"),
        ({"x": torch.zeros(4, 3, 2, device="meta")}, "on the CPU"),
        ({"x": np.zeros((4, 3, 2))}, "this is of float64"),
        ({"index": np.zeros(4, np.int64)}, "index must be int32"),
        ({"index": np.zeros(8, np.int32)[::2]}, "index must be int32, C-contiguous"),
        ({"free": np.zeros(3, np.float32)}, "free must be float64 and on the CPU"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Job(LAYOUT, DIMS, **values(**change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, "field 'x' of a job is missing"),
        ({"x": ...}, r"Job\(\) missing 1 required .* 'x'"),
        ({"inner": ...}, r"Job\(\) missing 1 required .* 'inner'"),
        ({"rows": ...}, r"Job\(\) missing 1 required .* 'rows'"),
        ({"slope": "steep"}, "float"),
        ({"counter": 1}, "unexpected keyword argument 'counter'"),
        ({"colour": 1}, "unexpected keyword argument 'colour'"),
    ],
)
def test_fields_are_named_and_complete(change, message):
    with pytest.raises((TypeError, struct.error), match=message):
        Job(LAYOUT, DIMS, **values(**change))


def test_only_integers_are_taken_for_integers():
    with pytest.raises(TypeError, match="interpreted as an integer"):
        Job(Layout(size=INT), size=4.0)
    assert read(Job(Layout(size=INT), size=np.int64(4)), INNER)["size"] == 4


def test_no_address_is_taken_for_an_array():
    with pytest.raises((TypeError, AttributeError)):
        Job(LAYOUT, DIMS, **values(x=torch.zeros(4, 3, 2).data_ptr()))


def test_a_job_holds_what_it_points_to():
    class Held(np.ndarray):
        pass

    free = np.zeros(3).view(Held)
    inner = Job(Layout(numbers=Numbers(np.float64)), numbers=free)
    job = Job(LAYOUT, DIMS, **values(inner=inner))
    alive = weakref.ref(free)
    del free, inner
    gc.collect()
    assert alive() is not None
    del job
    gc.collect()
    assert alive() is None


def test_a_table_is_its_records_one_after_another():
    arrays = [np.zeros(n) for n in (2, 3)]
    layout = Layout(size=INT, numbers=Numbers(np.float64, ("size",)))
    table = Job.table(layout, [({}, {"size": len(a), "numbers": a}) for a in arrays])
    second = Job.over(np.zeros(1))
    second.address = table.address + layout.dtype.itemsize
    assert read(table, layout).tolist() == (2, arrays[0].ctypes.data)
    assert read(second, layout).tolist() == (3, arrays[1].ctypes.data)
