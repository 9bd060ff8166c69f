"""Bytes of leaves that uproot cannot interpret: vectors of objects as ROOT streams them.

Numbers are big-endian. A stream begins with a 4-byte count of the bytes that follow, with the flag ``0x40000000``, and
a 2-byte version. In the version the flag ``0x4000`` tells that the stream is memberwise: member after member for all
objects of a vector, rather than object after object.
"""

from __future__ import annotations

import numpy as np

from mlreco.compiled import compiled

_COUNT_FLAG = 0x40000000
_MEMBERWISE = 0x4000
_WORD = 4
_LONG_STRING = 255


class StreamError(ValueError):
    """The bytes do not have the expected form."""


def voxel_sets(stream: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode ``vector<VoxelSet>._voxel_v``, memberwise: for each set a count, all ids, all values.

    Args:
        stream: (B,) uint8, bytes of one event; none for an event without sets.

    Returns:
        Number of voxels of each set, (S,) int64; ids of all voxels, (M,) uint64; their values, (M,) float32.

    Raises:
        StreamError: the stream is objectwise, too short or too long.
    """
    if not len(stream):
        return np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.float32)
    version = _read_header(stream)
    if not version & _MEMBERWISE:
        raise StreamError("the voxel sets are streamed object by object, which is not supported")
    class_version = int(stream[6:8].view(">i2")[0]) if len(stream) >= 8 else 0
    start = 12 if class_version <= 0 else 8
    if len(stream) % _WORD or len(stream) < start:
        raise StreamError(f"the voxel sets take {len(stream)} bytes, which do not end with a voxel")
    words = stream[start:].view(">u4").astype(np.uint32)
    counts = np.zeros(len(words), np.int64)
    num_sets, total = _count_sets(words, counts)
    if num_sets < 0:
        raise StreamError("the last voxel set is longer than its stream")
    ids, values = np.empty(total, np.uint64), np.empty(total, np.uint32)
    _fill_sets(words, counts[:num_sets], ids, values)
    return counts[:num_sets].copy(), ids, values.view(np.float32)


@compiled
def _count_sets(words: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """Write the number of voxels of each set; return the number of sets and of voxels, or -1 if a set does not fit."""
    position, num_sets, total = np.int64(0), 0, np.int64(0)
    while position < len(words):
        count = np.int64(words[position])
        position += 1 + 3 * count
        if position > len(words):
            return -1, 0
        counts[num_sets] = count
        num_sets += 1
        total += count
    return num_sets, int(total)


@compiled
def _fill_sets(words: np.ndarray, counts: np.ndarray, ids: np.ndarray, values: np.ndarray) -> None:
    position, row = 0, 0
    for count in counts:
        first = position + 1
        for i in range(count):
            ids[row + i] = (np.uint64(words[first + 2 * i]) << np.uint64(32)) | np.uint64(words[first + 2 * i + 1])
            values[row + i] = words[first + 2 * count + i]
        row += count
        position = first + 3 * count


def strings(stream: np.ndarray, count: int) -> list[bytes]:
    """Decode a vector's strings: for each a length (1 byte, or 255 and 4 bytes) and its characters.

    Args:
        stream: (B,) uint8, bytes of one event.
        count: number of strings.

    Raises:
        StreamError: the stream does not hold that many strings.
    """
    if not count:
        return []
    _read_header(stream)
    _expect(stream, count)
    data, position, found = stream.tobytes(), 6, []
    for _ in range(count):
        length = data[position] if position < len(data) else len(data)
        position += 1
        if length == _LONG_STRING:
            length = int.from_bytes(data[position : position + _WORD], "big")
            position += _WORD
        found.append(data[position : position + length])
        position += length
    if position != len(data):
        raise StreamError(f"{count} strings do not fill their {len(data)} bytes")
    return found


def vectors(stream: np.ndarray, count: int, dtype: np.dtype) -> list[np.ndarray]:
    """Decode a vector's vectors of numbers: for each a 4-byte length and its elements.

    Args:
        stream: (B,) uint8, bytes of one event.
        count: number of vectors.
        dtype: big-endian type of an element.

    Raises:
        StreamError: the stream does not hold that many vectors.
    """
    if not count:
        return []
    _read_header(stream)
    _expect(stream, count * _WORD)
    data, position, found = stream.tobytes(), 6, []
    for _ in range(count):
        length = int.from_bytes(data[position : position + _WORD], "big")
        position += _WORD
        if position + length * dtype.itemsize > len(data):
            raise StreamError("the last vector is longer than its stream")
        found.append(np.frombuffer(data, dtype, length, position))
        position += length * dtype.itemsize
    if position != len(data):
        raise StreamError(f"{count} vectors do not fill their {len(data)} bytes")
    return found


def _expect(stream: np.ndarray, least: int) -> None:
    """Refuse a stream that is shorter than its header and ``least`` bytes."""
    if len(stream) < 6 + least:
        raise StreamError(f"a stream of {len(stream)} bytes cannot hold what it should")


def _read_header(stream: np.ndarray) -> int:
    """Return the version of a stream whose byte count is right."""
    if len(stream) < 6:
        raise StreamError(f"a stream of {len(stream)} bytes has no header")
    following = int(stream[:4].view(">u4")[0])
    if following != (len(stream) - _WORD) | _COUNT_FLAG:
        raise StreamError("the byte count of a stream does not fit its length")
    return int(stream[4:6].view(">u2")[0])
