"""Work in batches on threads: whichever thread is free takes the next batch.

Plain threads and kernels that release the GIL: such kernels compile in a third of the time of
Numba's own parallel loops, may be called from any thread, and nothing spins between two calls.
"""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

from numba import get_num_threads

BATCH = 128  # signals, at least: enough to hide the cost of a call
SHARES = 8  # batches a thread, at most: enough to share work evenly


def in_batches(kernel, n, *arguments, least=BATCH):
    """Call ``kernel(start, stop, *arguments)`` on batches that cover ``range(n)``.

    The kernel must release the GIL. Its pieces of work do not depend on each other, so the
    result is the same for any number of threads; as many run as Numba is set to.
    """
    threads = get_num_threads()
    size = max(least, -(-n // (SHARES * threads)))
    if threads == 1 or n <= size:
        kernel(0, n, *arguments)
        return
    pool = _pool(threads)
    batches = [pool.submit(kernel, s, min(s + size, n), *arguments) for s in range(0, n, size)]
    try:
        for batch in batches:
            batch.result()
    finally:  # an interrupt leaves no thread at work on the arrays
        for batch in batches:
            batch.cancel()
        wait(batches)


@cache
def _pool(n_threads):
    return ThreadPoolExecutor(n_threads, thread_name_prefix="csc")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits no threads
