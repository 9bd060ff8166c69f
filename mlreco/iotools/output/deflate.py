"""Compression of a chunk of numbers as the filters shuffle and gzip of HDF5 read it, faster than zlib does all of it.

The chunk is laid out byte by byte of its numbers (RFC 1950 and 1951 say how a stream is built): bytes of one place that
repeat are compressed, those that do not, as the low bytes of a network's output, are stored as they are.
"""

from __future__ import annotations

import itertools
import struct
import zlib

import numpy as np

LEVEL = 1
_HEADER = b"\x78\x01"
_LONGEST_STORED = 0xFFFF
_SAMPLE = 512
_VALUES = 256
_REPEATS = 2.0
"""Equal pairs of bytes, as a multiple of those among bytes drawn evenly, from which compression is worth its time."""


def deflated(chunk: np.ndarray) -> bytes:
    """Return a chunk as the first byte of every number, the second, ..., compressed.

    Args:
        chunk: numbers of any shape, contiguous; one or more.
    """
    places = np.ascontiguousarray(chunk.reshape(-1, 1).view(np.uint8).T)
    worth = _is_worth_it(places)
    bounds = [0, *(place for place in range(1, len(places)) if worth[place] != worth[place - 1]), len(places)]
    parts = [_HEADER]
    for begin, end in itertools.pairwise(bounds):
        write = _compressed if worth[begin] else _stored
        parts += write(places[begin:end].reshape(-1), end == len(places))
    return b"".join([*parts, struct.pack(">I", zlib.adler32(places))])


def _is_worth_it(places: np.ndarray) -> list[bool]:
    """Tell from a sample of each row of (B, N) uint8 whether compression saves a tenth or more."""
    sample = places[:, :: max(1, places.shape[1] // _SAMPLE)].astype(np.int64)
    size = sample.shape[1]
    sample += _VALUES * np.arange(len(sample))[:, None]
    counts = np.bincount(sample.reshape(-1), minlength=_VALUES * len(sample)).reshape(-1, _VALUES)
    return list((counts * counts).sum(axis=1) >= _REPEATS * (size + size * (size - 1) / _VALUES))


def _compressed(values: np.ndarray, last: bool) -> list[bytes]:
    """Return blocks of Huffman codes; only runs of a byte are looked for."""
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return [stream.compress(values), stream.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)]


def _stored(values: np.ndarray, last: bool) -> list[bytes]:
    """Return blocks of bytes as they are, each behind its length and the complement of that."""
    parts = []
    for begin in range(0, len(values), _LONGEST_STORED):
        block = values[begin : begin + _LONGEST_STORED]
        is_last = last and begin + len(block) == len(values)
        parts += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block.tobytes()]
    return parts
