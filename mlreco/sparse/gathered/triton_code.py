"""What runs on the device: programs in Triton's language, without types, as Triton reads annotations as its own."""

from __future__ import annotations

import triton
import triton.language as tl

from mlreco.sparse.gathered import morton
from mlreco.sparse.gathered.parts import ABSENT

SITES = tl.constexpr(128)
"""Sites that a program of the tables' kernels takes."""
COPIED = tl.constexpr(16)
"""Rows that a program of ``copy`` takes."""
X_BITS, Y_BITS, Z_BITS = (tl.constexpr(bits) for bits in morton.AXES)
BITS = tl.constexpr(morton.POSITION_BITS)
POSITION = tl.constexpr((1 << morton.POSITION_BITS) - 1)
NONE = tl.constexpr(ABSENT)


@triton.jit
def _spread(bits):
    """Return a number with two zeros between its bits; see ``morton``."""
    bits = (bits | (bits << 32)) & 0x001F00000000FFFF
    bits = (bits | (bits << 16)) & 0x001F0000FF0000FF
    bits = (bits | (bits << 8)) & 0x100F00F00F00F00F
    bits = (bits | (bits << 4)) & 0x10C30C30C30C30C3
    return (bits | (bits << 2)) & 0x1249249249249249


@triton.jit(do_not_specialize=["count"])
def codes(indices, found, count):
    """Write the codes of a block of voxels."""
    voxel = tl.program_id(0) * SITES + tl.arange(0, SITES)
    inside = voxel < count
    place = indices + voxel.to(tl.int64) * 4
    code = tl.load(place, mask=inside, other=0).to(tl.int64) << BITS
    for axis in tl.static_range(3):
        code |= _spread(tl.load(place + 1 + axis, mask=inside, other=0).to(tl.int64)) << (2 - axis)
    tl.store(found + voxel, code, mask=inside)


@triton.jit
def _climbed(code, level):
    """Return the code of the site of a voxel at a level."""
    position = code & POSITION
    return (code - position) | (position >> (3 * level))


@triton.jit(do_not_specialize=["count"])
def climb(voxels, codes, is_first, count):
    """Write the code of a block of voxels at one level, and whether the voxel before is of another site."""
    level = tl.program_id(1)
    voxel = tl.program_id(0) * SITES + tl.arange(0, SITES)
    inside = voxel < count
    code = _climbed(tl.load(voxels + voxel, mask=inside, other=0), level)
    before = _climbed(tl.load(voxels + voxel - 1, mask=inside & (voxel > 0), other=-1), level)
    place = level.to(tl.int64) * count + voxel
    tl.store(codes + place, code, mask=inside)
    tl.store(is_first + place, (voxel == 0) | (code != before), mask=inside)


@triton.jit(do_not_specialize=["voxels"])
def levels(
    order,
    codes,
    sites,
    indices,
    starts,
    own_codes,
    own_sites,
    children,
    parents,
    voxels,
):
    """Write code, indices, parent and place among the children of the site of a voxel at one level.

    Voxels of a site write the same. Rows of ``children`` and ``parents`` of all levels follow one another; the row
    before the first one is that of the finest level in ``children``, which has none.
    """
    level = tl.program_id(1)
    voxel = tl.program_id(0) * SITES + tl.arange(0, SITES)
    inside = voxel < voxels
    start = tl.load(starts + level)
    site = tl.load(sites + level * voxels + voxel, mask=inside, other=0)
    code = tl.load(codes + level * voxels + voxel, mask=inside, other=0)
    row = tl.load(order + voxel, mask=inside, other=0).to(tl.int64)
    tl.store(own_codes + start + site, code, mask=inside)
    for column in tl.static_range(4):
        value = tl.load(indices + row * 4 + column, mask=inside, other=0)
        tl.store(own_sites + (start + site) * 4 + column, (value >> level) if column > 0 else value, mask=inside)
    if level + 1 < tl.num_programs(1):
        own_row = tl.where(level == 0, row, site)
        parent = tl.load(sites + (level + 1) * voxels + voxel, mask=inside, other=0)
        child = code & 7
        next_start = tl.load(starts + level + 1)
        tl.store(children + (next_start + parent) * 8 + child, own_row.to(tl.int32), mask=inside)
        tl.store(parents + (start + own_row) * 8 + child, parent.to(tl.int32), mask=inside)


@triton.jit
def _moved(code, step, bits):
    """Return the bits of an axis after a step of -1 (0), none (1) or 1 (2)."""
    none = code & 0
    added = tl.where(step == 0, none | bits, tl.where(step == 2, none | (bits & -bits), none))
    return ((code | ~bits) + added) & bits


@triton.jit(do_not_specialize=["count"])
def neighbours(codes, order, table, count, halvings, ORDERED: tl.constexpr):
    """Search one neighbour of every site of a block by bisection."""
    site = tl.program_id(0) * SITES + tl.arange(0, SITES)
    offset = tl.program_id(1)
    inside = site < count
    code = tl.load(codes + site, mask=inside, other=0)
    wanted = code & ~POSITION
    wanted |= _moved(code, offset // 9, X_BITS)
    wanted |= _moved(code, (offset // 3) % 3, Y_BITS)
    wanted |= _moved(code, offset % 3, Z_BITS)
    first = tl.zeros_like(site)
    last = first + count
    for _ in range(halvings):
        middle = (first + last) // 2
        searching = first < last
        is_below = tl.load(codes + middle, mask=searching & inside, other=0) < wanted
        first = tl.where(searching & is_below, middle + 1, first)
        last = tl.where(searching & ~is_below, middle, last)
    is_there = inside & (first < count)
    is_there &= tl.load(codes + first, mask=is_there, other=0) == wanted
    if ORDERED:
        found, own = first, site
    else:
        found = tl.load(order + first, mask=is_there, other=0)
        own = tl.load(order + site, mask=inside, other=0)
    tl.store(table + own.to(tl.int64) * 27 + offset, tl.where(is_there, found, NONE), mask=inside)


@triton.jit
def _add(total, source, row, is_row, feature, cin, weight, offset, column, cout, PRECISION: tl.constexpr):
    """Return the sums with the products of a step: some features of rows times their weights of an offset."""
    present = feature < cin
    place = source + row[:, None] * cin + feature[None, :]
    values = tl.load(place, mask=is_row[:, None] & present[None, :], other=0.0)
    place = weight + (offset * cin + feature)[:, None] * cout + column[None, :]
    factors = tl.load(place, mask=present[:, None] & (column < cout)[None, :], other=0.0)
    return tl.dot(values.to(factors.dtype), factors, total, input_precision=PRECISION)


@triton.jit
def _activated(value, scale, shift, slope, column, wanted):
    """Return features after normalisation and activation."""
    factor = tl.load(scale + column, mask=wanted, other=0.0)
    value = value * factor[None, :] + tl.load(shift + column, mask=wanted, other=0.0)[None, :]
    return tl.where(value > 0, value, value * slope)


@triton.jit(do_not_specialize=["rows"])
def convolution(
    source,
    table,
    weight,
    residual,
    shortcut,
    scale,
    shift,
    raw,
    active,
    rows,
    offsets,
    cin,
    cout,
    wide,
    raw_stride,
    active_stride,
    slope,
    RESIDUAL: tl.constexpr,
    SHORTCUT: tl.constexpr,
    RAW: tl.constexpr,
    ACTIVE: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEEP: tl.constexpr,
):
    """Compute ROWS rows of COLUMNS output features, DEEP input features of an offset at a step."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside, wanted = row < rows, column < cout
    long_row = row.to(tl.int64)
    step_features = tl.arange(0, DEEP)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    steps = tl.cdiv(cin, DEEP)
    for step in range(offsets * steps):
        offset = step // steps
        feature = (step % steps) * DEEP + step_features
        at = tl.load(table + long_row * offsets + offset, mask=inside, other=NONE)
        at, there = at.to(tl.int64), at >= 0
        total = _add(total, source, at, there, feature, cin, weight, offset, column, cout, PRECISION)
    mask = inside[:, None] & wanted[None, :]
    if SHORTCUT:
        for first in range(0, wide, DEEP):
            feature = first + step_features
            total = _add(total, residual, long_row, inside, feature, wide, shortcut, 0, column, cout, PRECISION)
    elif RESIDUAL:
        total += tl.load(residual + long_row[:, None] * cout + column[None, :], mask=mask, other=0.0)
    if RAW:
        tl.store(raw + long_row[:, None] * raw_stride + column[None, :], total, mask=mask)
    if ACTIVE:
        place = active + long_row[:, None] * active_stride + column[None, :]
        value = _activated(total, scale, shift, slope, column, wanted)
        tl.store(place, value.to(active.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["rows"])
def copy(
    features,
    scale,
    shift,
    raw,
    active,
    rows,
    width,
    raw_stride,
    active_stride,
    slope,
    WIDTH: tl.constexpr,
):
    """Compute sixteen rows."""
    row = (tl.program_id(0) * COPIED + tl.arange(0, COPIED)).to(tl.int64)
    column = tl.arange(0, WIDTH)
    wanted = column < width
    mask = (row < rows)[:, None] & wanted[None, :]
    value = tl.load(features + row[:, None] * width + column[None, :], mask=mask, other=0.0)
    tl.store(raw + row[:, None] * raw_stride + column[None, :], value, mask=mask)
    value = _activated(value, scale, shift, slope, column, wanted)
    tl.store(active + row[:, None] * active_stride + column[None, :], value.to(active.dtype.element_ty), mask=mask)
