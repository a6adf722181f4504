"""Let a worker keep the memory that it frees, instead of returning it to the system."""

import ctypes
import os
import platform
from functools import cache

TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc
KEPT_BYTES = 2**28  # free memory at the end of the heap that is not returned to the system
MAX_HEAP_ARRAY_BYTES = 2**25  # larger arrays get pages of their own; the maximum of glibc


@cache
def keep_freed():
    """Let this process keep freed memory for later arrays; has an effect on the first call only.

    Dask's nannies start workers with ``MALLOC_TRIM_THRESHOLD_``. Then glibc returns each freed
    array to the system, which has to zero the pages of the next one: a quarter of the coding
    time. Workers without this variable, and other C libraries, are not changed.

    Returns
    -------
    bool
        Whether a setting was changed.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(TRIM, KEPT_BYTES) and mallopt(MMAP, MAX_HEAP_ARRAY_BYTES))
