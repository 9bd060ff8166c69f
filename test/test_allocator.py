"""What the C library's allocator is told, seen in what a process keeps; in processes of their own."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = """
import resource
from pathlib import Path
import numpy as np
from mlreco.allocator import keep_freed_memory

def array(megabytes):
    return np.ones(megabytes << 17)

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20

def new_pages(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        event = [array(3) for _ in range(33)]
        del event
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

told = keep_freed_memory()
array(30)  # glibc would learn from it to take such arrays from the heap
new_pages(1)
pages = new_pages(20)
before, last = [array(20) for _ in range(10)], array(20)
full = resident()
del before
print(told, pages, full - resident())
"""


def run(**environment):
    """Whether glibc was told, new pages of 20 rounds of 99 MB, MB returned of 200 that stood before others."""
    variables = {name: value for name, value in os.environ.items() if "MALLOC" not in name and "GLIBC" not in name}
    variables |= {"PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([sys.executable, "-c", CODE], env=variables, capture_output=True, text=True, check=True)
    told, pages, returned = done.stdout.split()
    return told == "True", int(pages), int(returned)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_an_event_frees_is_kept_and_what_is_very_large_returned():
    told, pages, returned = run()
    assert told
    assert pages < 1000
    assert returned > 100


@pytest.mark.parametrize(
    "environment", [{"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=0"}, {"MALLOC_MMAP_THRESHOLD_": "4096"}], ids=str
)
def test_a_users_own_settings_stay(environment):
    assert not run(**environment)[0]
