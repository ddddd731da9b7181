"""Keeps the memory that a step frees for the next one, where the C library would give it back."""

import ctypes
import functools
import platform

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's `mallopt`."""
_KEPT = 2**31 - 1
_LARGEST_BLOCKS = (2**30, 2**25)
"""The largest block that is kept; glibc before 2.35 takes no threshold above 32 MB."""


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process reuse large blocks of memory rather than ask the kernel for zeroed ones again.

    glibc maps a large block anew at each allocation, and unmaps it when it is freed; on a CPU a network
    then spends up to half of its time on page faults. From the first call on, up to 2 GB of freed memory
    stay with the process. Elsewhere than on Linux with glibc nothing changes.

    Returns:
        Whether the C library took the settings.

    Source: mallopt(3), M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    # Either setting stops glibc from raising its threshold by itself: never the other one alone.
    mapped = any(libc.mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST_BLOCKS)
    return bool(mapped and libc.mallopt(_TRIM_THRESHOLD, _KEPT))
