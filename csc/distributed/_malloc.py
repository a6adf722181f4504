"""What a worker does with memory that it frees."""

import ctypes
import os
import platform
from functools import cache

TRIM, MMAP = -1, -3  # glibc's numbers of M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
KEPT_BYTES = 2**28  # bytes at the end of the heap that stay
MAX_HEAP_ARRAY_BYTES = 2**25  # bytes of an array that comes from the heap: glibc allows no more


@cache
def keep_freed():
    """Let this process keep what it frees, for the next array; once is enough.

    Dask's nannies start workers with ``MALLOC_TRIM_THRESHOLD_``: glibc then gives every array back
    to the system as it is freed, and the next one is zeroed anew, page by page. That took a
    quarter of the time of coding. Workers without it, and other C libraries, are left alone.

    Returns
    -------
    bool
        Whether anything was changed.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(TRIM, KEPT_BYTES) and mallopt(MMAP, MAX_HEAP_ARRAY_BYTES))
