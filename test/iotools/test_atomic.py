import os
import stat

import pytest

from mlreco.atomic import atomic_path
from mlreco.errors import UserError
from mlreco.iotools.hdf5file import atomic_hdf5
from mlreco.iotools.partial import partial_hdf5


def test_appears_at_the_end_with_usual_permissions(tmp_path):
    final = tmp_path / "x.html"
    with atomic_path(final) as temporary:
        temporary.write_text("new")
        assert not final.exists()
        assert temporary.parent == tmp_path and temporary.suffix == ".html"
    assert final.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(final.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError("other")])
def test_failure_leaves_the_old_file(tmp_path, error):
    final = tmp_path / "x"
    final.write_text("old")
    with pytest.raises(error if isinstance(error, type) else OSError), atomic_path(final) as temporary:
        temporary.write_text("new")
        raise error
    assert final.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "the disk is full"),
        (PermissionError(13, "denied"), "no permission"),
        (
            RuntimeError("Can't decrement id (file write failed: errno = 28, error message = 'No space')"),
            "the disk is full",
        ),
    ],
)
def test_causes_in_the_users_words(tmp_path, error, reason):
    with pytest.raises(UserError, match=f"cannot write {tmp_path / 'x'}: {reason}"), atomic_path(tmp_path / "x"):
        raise error
    assert not list(tmp_path.iterdir())


def test_bad_places(tmp_path):
    for place, reason in ((tmp_path / "no" / "x", "folder does not exist"), (tmp_path, "it is a folder")):
        with pytest.raises(UserError, match=reason), atomic_path(place):
            pass


@pytest.mark.parametrize("name", ["x.root", "x.ROOT", "y.csv", "y.html", "y.ckpt"])
def test_hdf5_under_the_name_of_another_format(tmp_path, name):
    libver = ("v110", "v110")
    for opening in (atomic_hdf5(tmp_path / name, libver), partial_hdf5(tmp_path / name, libver, {})):
        with (
            pytest.raises(UserError, match=r"would be written as HDF5, not as \.\w+; give it a name that ends in \.h5"),
            opening,
        ):
            pass
    assert not list(tmp_path.iterdir())
