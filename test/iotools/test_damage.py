"""Files with flipped bits: told in one line or harmless, never another error.

Values that stand uncompressed in a file have no checksum, so that a changed one cannot be noticed unless it makes no
sense.
"""

from pathlib import Path

import numpy as np
import pytest
from io_samples import read_everything
from test_output_as_input import make_event as make_output_event
from test_pilarnet_m import make_event, write

from mlreco.errors import UserError
from mlreco.iotools import HDF5Writer

GENUINE = Path(__file__).parent / "genuine"
MUTATIONS = 40


def source(kind, folder):
    rng = np.random.default_rng(0)
    if kind == "LArCV2":
        pytest.importorskip("uproot")
        return GENUINE / "larcv2.root"
    if kind == "LArCV3":
        return GENUINE / "events.h5"
    path = folder / "source.h5"
    if kind == "PILArNet-M":
        write(path, [make_event(rng, (9, 30)) for _ in range(3)])
    else:
        with HDF5Writer(path, {"class_scheme": "pilarnet"}) as writer:
            for _ in range(3):
                writer.append(make_output_event(rng, 30))
    return path


@pytest.mark.parametrize("kind", ["LArCV2", "LArCV3", "PILArNet-M", "output"])
def test_flipped_bits(tmp_path, kind):
    path = source(kind, tmp_path)
    content, expected = path.read_bytes(), read_everything(path)
    told = 0
    for seed in range(MUTATIONS):
        rng, mutated = np.random.default_rng(seed), bytearray(content)
        for place in rng.integers(0, len(content), 1 + len(content) // 8000):
            mutated[place] ^= 1 << rng.integers(8)
        damaged = tmp_path / f"damaged{seed}{path.suffix}"
        damaged.write_bytes(mutated)
        try:
            read_everything(damaged)
        except UserError as error:
            told += 1
            assert str(damaged) in str(error) and "\n" not in str(error)
    assert told > 0
    assert read_everything(path) == expected
