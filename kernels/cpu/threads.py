"""Work in batches on threads: whichever thread is free takes the next batch.

Plain threads and kernels that release the GIL: such kernels compile in a third of the time of
Numba's own parallel loops, may be called from any thread, and nothing spins between two calls.
"""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import numpy as np
from numba import get_num_threads

BATCH = 128  # signals, at least: enough to hide the cost of a call
SHARES = 8  # batches a thread, at most: enough to share work evenly


def inputs(*arrays):
    """Views in C order, which cannot be written: one type for all inputs, so kernels compile once.

    Numba compiles a kernel anew for arrays in another order and for those that are read-only.
    """
    views = [np.ascontiguousarray(a).view() for a in arrays]
    for view in views:
        view.flags.writeable = False
    return views


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
    starts = list(range(0, n, size))[::-1]

    def work():
        while starts:
            try:
                start = starts.pop()  # atomic: nobody else gets this one
            except IndexError:  # the last one went between two lines
                return
            kernel(start, min(start + size, n), *arguments)

    helpers = [_pool(threads).submit(work) for _ in range(min(threads, len(starts)) - 1)]
    try:
        work()  # the caller too: a thread that sleeps takes long to wake
    finally:  # an interrupt leaves no thread at work on the arrays
        starts.clear()
        started = [helper for helper in helpers if not helper.cancel()]
        wait(started)
    for helper in started:
        helper.result()


@cache
def _pool(n_threads):
    return ThreadPoolExecutor(n_threads, thread_name_prefix="csc")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits no threads
