"""Fixtures of the visualization tests."""

import json

import pytest
from memory_events import MemoryReader, make_event


@pytest.fixture
def event():
    return make_event()


@pytest.fixture
def reader():
    return MemoryReader([make_event()], source_files=json.dumps(["/data/sample.h5"]))
