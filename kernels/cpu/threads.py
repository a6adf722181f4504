"""Batches of work on threads: whichever thread is free takes the next batch.

Plain Python threads call kernels that release the GIL. Such kernels compile in a third of the time
of Numba's own parallel loops and may be called from any thread, and no thread waits busily between
two calls.
"""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import numpy as np
from numba import get_num_threads

MIN_SIGNALS_PER_BATCH = 128  # fewer do not repay the call
MAX_BATCHES_PER_THREAD = 8  # enough to balance the load


def inputs(*arrays):
    """Read-only views in C order: one type for all inputs, so each kernel compiles once.

    Numba compiles a kernel again for arrays in another memory order, and for read-only ones.
    """
    views = [np.ascontiguousarray(a).view() for a in arrays]
    for view in views:
        view.flags.writeable = False
    return views


def in_batches(kernel, n, *arguments, min_batch=MIN_SIGNALS_PER_BATCH):
    """Call ``kernel(start, stop, *arguments)`` on batches that cover ``range(n)``.

    The kernel must release the GIL. Its batches are independent, so the result is the same for any
    number of threads. `numba.set_num_threads` sets that number.
    """
    threads = get_num_threads()
    size = max(min_batch, -(-n // (MAX_BATCHES_PER_THREAD * threads)))
    if threads == 1 or n <= size:
        kernel(0, n, *arguments)
        return
    starts = list(range(0, n, size))[::-1]

    def work():
        while starts:
            try:
                start = starts.pop()  # atomic: no other thread gets this one
            except IndexError:  # another thread took the last one meanwhile
                return
            kernel(start, min(start + size, n), *arguments)

    futures = [_pool(threads).submit(work) for _ in range(min(threads, len(starts)) - 1)]
    try:
        work()  # the caller works too: waking a sleeping thread takes long
    finally:  # after an interrupt no thread may still write to the arrays
        starts.clear()
        started = [future for future in futures if not future.cancel()]
        wait(started)
    for future in started:
        future.result()


@cache
def _pool(n_threads):
    return ThreadPoolExecutor(n_threads, thread_name_prefix="csc")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits no threads
