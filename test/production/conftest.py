"""Files of events and weights that tests of productions share."""

import pytest
from production_samples import TINY, write_events


@pytest.fixture(scope="session")
def weights(untrained_weights):
    return untrained_weights(TINY)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Four files of 1, 2, 3 and 4 events."""
    folder = tmp_path_factory.mktemp("events")
    return [write_events(folder / f"f{count}.h5", count, run=count) for count in (1, 2, 3, 4)]
