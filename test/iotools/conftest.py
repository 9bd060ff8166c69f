from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"
BESIDE = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def shared_data():
    for folder in (SHARED, BESIDE):
        if folder.is_dir():
            return folder
    pytest.skip("the benchmark events are not here")
