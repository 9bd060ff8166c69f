"""Checkpoint files: every damaged bit is noticed, nothing but weights is believed."""

import codecs
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlreco.checkpoints import read_checkpoint, write_checkpoint
from mlreco.errors import UserError


def content():
    torch.manual_seed(0)
    weights = {"a.weight": torch.randn(7, 5), "a.count": torch.tensor(3)}
    return {"state_dict": weights, "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}}, "iteration": 4}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "x.ckpt"
    write_checkpoint(path, content())
    return path


def test_what_is_written_is_read(saved):
    assert same(read_checkpoint(saved), content())


@given(st.data())
def test_a_flipped_bit_is_noticed_or_changes_nothing(saved, data):
    whole = saved.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    other = saved.with_name("flipped.ckpt")
    other.write_bytes(changed)
    try:
        found = read_checkpoint(other)
    except UserError as error:
        assert str(other) in str(error)
    else:
        assert same(found, content())


def test_every_flipped_bit_of_a_weight_is_noticed(saved):
    whole = saved.read_bytes()
    start = whole.index(content()["state_dict"]["a.weight"].numpy().tobytes())
    for bit in range(7 * 5 * 32):
        changed = bytearray(whole)
        changed[start + bit // 8] ^= 1 << bit % 8
        other = saved.with_name("weight.ckpt")
        other.write_bytes(changed)
        with pytest.raises(UserError, match=r"damaged: '.*/data/\d+' is not what was written"):
            read_checkpoint(other)


@given(st.integers(0, 4000))
def test_a_truncated_file_is_refused(saved, length):
    whole = saved.read_bytes()
    other = saved.with_name("short.ckpt")
    other.write_bytes(whole[: min(length, len(whole) - 1)])
    with pytest.raises(UserError, match="not a checkpoint of mlreco, or damaged"):
        read_checkpoint(other)


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(100 << 20))
    with pytest.raises(UserError, match="claims to hold 105 MB, more than a checkpoint of this size can"):
        read_checkpoint(path)


def test_weights_that_were_packed_smaller_are_read(tmp_path, saved):
    path = tmp_path / "packed.ckpt"
    with zipfile.ZipFile(saved) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in whole.infolist():
            packed.writestr(entry.filename, whole.read(entry))
    assert same(read_checkpoint(path), content())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.eye(3).to_sparse(), "is a tensor of the kind torch.sparse_coo"),
        (torch.zeros(3, device="meta"), "is on the device 'meta' and holds no numbers"),
        (torch.zeros(1).expand(1 << 40), "claims the shape (1099511627776,), for which it holds too few numbers"),
        ([1.0, 2.0], "'state_dict.w' is no tensor"),
        ("text", "'state_dict.w' is no tensor"),
    ],
)
def test_what_is_no_ordinary_tensor_is_refused(tmp_path, value, message):
    torch.save({"state_dict": {"w": value}}, tmp_path / "x.ckpt")
    with pytest.raises(UserError) as caught:
        read_checkpoint(tmp_path / "x.ckpt")
    assert message in str(caught.value)


@pytest.mark.parametrize("whole", [[1], {"weights": {}}, {"state_dict": 3}])
def test_other_content_is_refused(tmp_path, whole):
    torch.save(whole, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"not a checkpoint of mlreco|is no table of tensors by name"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_code_in_a_file_does_not_run(tmp_path):
    torch.save({"state_dict": {}, "array": np.ones(2)}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=r"asks for 'numpy.*_reconstruct', of which no checkpoint is made"):
        read_checkpoint(tmp_path / "x.ckpt")


class Call:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def doubled(times):
    """Text whose length doubles so often while it is unpickled."""
    return Call(codecs.encode, doubled(times - 1) if times else b"xx", "hex")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (Call(bytearray, 1 << 46), "__builtin__.bytearray"),
        (Call(torch.FloatTensor, 1 << 44), "torch.FloatTensor"),
        (Call(eval, "bytearray(1 << 46)"), "__builtin__.eval"),
        (doubled(60), "_codecs.encode"),
        (torch.zeros(3, dtype=torch.uint16), "torch._utils._rebuild_tensor_v3"),
    ],
)
def test_what_could_be_larger_than_the_file_is_not_made(tmp_path, value, what):
    torch.save({"state_dict": {}, "more": value}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=rf"x.ckpt: asks for '{what}', of which no checkpoint is made"):
        read_checkpoint(tmp_path / "x.ckpt")


def with_pickle(saved, path, change):
    with zipfile.ZipFile(saved) as whole, zipfile.ZipFile(path, "w") as changed:
        for entry in whole.infolist():
            data = whole.read(entry)
            changed.writestr(entry.filename, change(data) if entry.filename.endswith("data.pkl") else data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            # the number of values of 'a.weight'
            lambda data: data.replace(b"K#t", b"J\xff\xff\xff\x7ft"),
            r"claims to hold 8,589,934,588 bytes in 'data/0', which has 140",
        ),
        (
            lambda data: pickle.dumps({"state_dict": {}}, 2)[:-1] + b"r\xff\xff\xff\xff.",
            r"claims to hold 4,294,967,295 values in \d+ bytes",
        ),
        (lambda data: pickle.dumps({"state_dict": {}, "more": bytearray(9)}, 5), r"operation \w+, which no checkpoint"),
        (lambda data: data[:-1], "not a checkpoint of mlreco, or damaged"),
        (lambda data: b"", "not a checkpoint of mlreco, or damaged"),
    ],
)
def test_what_a_pickle_declares_is_compared_with_the_file(tmp_path, saved, change, message):
    with_pickle(saved, tmp_path / "x.ckpt", change)
    with pytest.raises(UserError, match=message):
        read_checkpoint(tmp_path / "x.ckpt")


def test_missing_files_and_what_is_no_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.ckpt: no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
    os.mkfifo(tmp_path / "pipe.ckpt")
    for path, kind in ((tmp_path, "folder"), (tmp_path / "pipe.ckpt", "named pipe")):
        with pytest.raises(UserError, match=f"is a {kind}, not a file of weights"):
            read_checkpoint(path)
