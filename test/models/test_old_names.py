"""Names under which code of before the engine's move imports it."""

from mlreco import sparse
from mlreco.models.layers import sparse as before


def test_the_old_name_of_the_engine_holds_the_same_layers():
    assert all(getattr(before, name) is getattr(sparse, name) for name in before.__all__)
