"""The clusterers behave like estimators of scikit-learn where parameters are concerned."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from mlreco.errors import UserError
from mlreco.post_processing.clustering.greedy import GreedyClusterer
from mlreco.post_processing.clustering.linked import LinkedClusterer

CHANGED = {GreedyClusterer: {"seed_threshold": 0.25}, LinkedClusterer: {"embedding_distance": 0.02}}


@pytest.mark.parametrize("kind", CHANGED)
def test_parameters_are_read_changed_and_cloned(kind):
    clusterer = kind(**CHANGED[kind])
    assert clusterer.get_params() == {**kind().get_params(), **CHANGED[kind]}
    assert clone(clusterer).get_params() == clusterer.get_params()
    other = kind()
    assert other.set_params(**CHANGED[kind]) is other
    assert other.get_params() == clusterer.get_params()
    [(name, value)] = CHANGED[kind].items()
    assert repr(clusterer) == f"{kind.__name__}({name}={value})"
    with pytest.raises(UserError, match=f"has no parameter '{name[:-1]}'; did you mean '{name}'"):
        other.set_params(**{name[:-1]: 1})
    with pytest.raises(UserError):
        other.set_params(min_voxels=5, **{name: -1})
    assert other.get_params() == clusterer.get_params()


def test_a_search_over_parameters_is_one_over_new_clusterers():
    rng = np.random.default_rng(0)
    coordinates = rng.integers(0, 30, (200, 3))
    embeddings = coordinates / 60 + rng.normal(0, 0.01, (200, 3))
    searched = LinkedClusterer()
    for point in ParameterGrid({"embedding_distance": [0.01, 0.1], "join_distance": [0.0, 0.3]}):
        found = searched.set_params(**point).fit_predict(coordinates, embeddings)
        assert np.array_equal(found, LinkedClusterer(**point).fit_predict(coordinates, embeddings))
