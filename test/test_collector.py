import gc
import sys

import pytest

from mlreco.collector import collector_off_while_importing


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.parametrize("failure", [None, KeyError])
def test_what_the_block_made_is_never_looked_through(failure):
    held = []
    frozen = gc.get_freeze_count()
    try:
        with collector_off_while_importing("a_library"):
            assert not gc.isenabled()
            held.append([held])
            if failure:
                raise failure
    except KeyError:
        pass
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    assert not any(held[0] is other for other in gc.get_objects())


def test_a_library_that_is_there_changes_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "a_library", sys)
    frozen = gc.get_freeze_count()
    with collector_off_while_importing("a_library"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    frozen = gc.get_freeze_count()
    with collector_off_while_importing("a_library"):
        pass
    assert not gc.isenabled()
    assert gc.get_freeze_count() == frozen
