"""Keeps the memory that a step frees for the next one, where the C library would give it back."""

import ctypes
import functools
import platform

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's `mallopt`."""
_KEPT = 2**31 - 1
_LARGEST_BLOCK = 2**30


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
    trimmed = libc.mallopt(_TRIM_THRESHOLD, _KEPT)
    return bool(libc.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK) and trimmed)
