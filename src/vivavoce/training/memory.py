"""Memory kept between steps instead of given back to the system and faulted in again."""

import ctypes
import sys

# glibc's malloc.h: options of mallopt().
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Ask glibc to hold on to freed memory; elsewhere nothing happens.

    A training step allocates the same hundreds of megabytes each time. By default every large tensor is a new mapping,
    whose pages the kernel clears one by one: a seventh of the step's time on two cores.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(M_TOP_PAD, KEPT_BYTES // 4)
