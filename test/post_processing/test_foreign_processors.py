"""What post-processors of other packages return is checked."""

import numpy as np
import pytest

from mlreco.errors import UserError
from mlreco.post_processing.processor import products_to_add

EVENT = {"event_id": np.array([1, 2, 3]), "energies": np.ones(4, np.float32)}


def test_arrays_by_name_are_added():
    (added,) = products_to_add(lambda event, _: {"total": event["energies"].sum(keepdims=True)}, [EVENT], None)
    assert added["total"].tolist() == [4.0]


@pytest.mark.parametrize("result", [None, np.zeros(3), {"total": 1.0}, {"total": [1.0]}])
def test_anything_else_is_named_with_its_event(result):
    with pytest.raises(UserError, match=r"run 1 subrun 2 event 3: a post-processor must return a mapping"):
        products_to_add(lambda *_: result, [EVENT], None)
