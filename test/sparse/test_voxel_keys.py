import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlreco.errors import UserError
from mlreco.sparse.maps.keys import MAX_BATCH, MAX_COORDINATE, coordinates_from_keys, keys_from_coordinates

coordinate = st.integers(0, MAX_COORDINATE) | st.sampled_from([0, 1, MAX_COORDINATE - 1, MAX_COORDINATE])
site = st.tuples(st.integers(0, MAX_BATCH), coordinate, coordinate, coordinate)


@settings(max_examples=50, deadline=None)
@given(st.lists(site, max_size=20))
def test_keys_give_back_the_coordinates_and_sort_like_them(sites):
    coordinates = np.array(sites, dtype=np.int64).reshape(-1, 4)
    keys = keys_from_coordinates(coordinates)
    assert np.array_equal(coordinates_from_keys(keys), coordinates)
    assert coordinates_from_keys(np.sort(keys)).tolist() == sorted(coordinates.tolist())
    assert len(np.unique(keys)) == len(set(sites))


@pytest.mark.parametrize(
    "bad", [(0, -1, 0, 0), (0, 0, MAX_COORDINATE + 1, 0), (0, 0, 0, MAX_COORDINATE + 1), (MAX_BATCH + 1, 0, 0, 0)]
)
def test_coordinates_out_of_range_are_named(bad):
    with pytest.raises(UserError, match=rf"voxel \({bad[1]}, {bad[2]}, {bad[3]}\) of image {bad[0]}"):
        keys_from_coordinates(np.array([[0, 1, 2, 3], bad]))
