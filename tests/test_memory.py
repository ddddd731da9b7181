"""Freed memory is kept: what a second allocation of the same size costs in page faults."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from zoo.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    b"x" * 40_000_000
before = faults()
for _ in range(30):
    b"x" * 40_000_000
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_blocks_of_a_step_are_reused():
    def faults(way: str) -> int:
        command = [sys.executable, "-c", FAULTS, way]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    kept, given_back = faults("kept"), faults("given back")
    assert given_back > 30 * 40_000_000 / 2**21  # at least a fault for each huge page
    assert kept < given_back / 2


def test_a_c_library_that_takes_smaller_blocks_only(monkeypatch):
    """As glibc before 2.35; and none of the settings is made without the other."""
    from zoo import memory

    made = []

    class Old:
        def __init__(self, most):
            self.most = most

        def mallopt(self, setting, size):
            taken = setting != memory._MMAP_THRESHOLD or size <= self.most
            if taken:
                made.append((setting, size))
            return int(taken)

    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    for most, kept in ((2**25, True), (0, False)):
        memory.keep_freed_memory.cache_clear()
        monkeypatch.setattr(memory.ctypes, "CDLL", lambda name, most=most: Old(most))
        assert memory.keep_freed_memory() is kept
    memory.keep_freed_memory.cache_clear()
    assert made == [(memory._MMAP_THRESHOLD, 2**25), (memory._TRIM_THRESHOLD, 2**31 - 1)]


def test_other_c_libraries_are_left_alone(monkeypatch):
    from zoo.memory import keep_freed_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    keep_freed_memory.cache_clear()
    assert keep_freed_memory() is False
    keep_freed_memory.cache_clear()
