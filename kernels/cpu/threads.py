"""Batches of work on threads: whichever thread is free takes the next batch.

Plain Python threads call kernels that release the GIL. Such kernels compile in a third of the time
of Numba's own parallel loops and may be called from any thread, and no thread waits busily between
two calls.
"""

import os
from functools import cache
from queue import SimpleQueue
from threading import Thread

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


def in_batches(kernel, n, *arguments, min_batch=MIN_SIGNALS_PER_BATCH, scratch=tuple):
    """Call ``kernel(start, stop, *arguments, *scratch())`` on batches that cover ``range(n)``.

    The kernel must release the GIL. Its batches are independent, so the result is the same for any
    number of threads. `numba.set_num_threads` sets that number. ``scratch`` makes the arrays that one
    thread works in: a kernel that makes its own takes longer to compile.
    """
    threads = 1 if n <= min_batch else get_num_threads()
    size = max(min_batch, -(-n // (MAX_BATCHES_PER_THREAD * threads)))
    if threads == 1 or n <= size:
        kernel(0, n, *arguments, *scratch())
        return
    starts = range(0, n, size)
    _Batches(kernel, [(i, min(i + size, n)) for i in starts], arguments, scratch).run(threads)


class _Batches:
    """Batches of one call, and what other threads made of it."""

    def __init__(self, kernel, batches, arguments, scratch):
        self.kernel, self.batches, self.arguments = kernel, batches[::-1], arguments
        self.scratch = scratch
        self.unclaimed, self.outcomes = [], SimpleQueue()

    def run(self, threads):
        """Work on this thread and on others; the first error is raised."""
        n_helpers = min(threads, len(self.batches)) - 1
        self.unclaimed = [True] * n_helpers
        for _ in range(n_helpers):
            _waiting_threads(threads).put(self.help_out)
        try:
            self.work()  # the caller works too: waking a sleeping thread takes long
        finally:  # after an interrupt no thread may still write to the arrays
            self.batches.clear()
            n_cancelled = sum(_take(self.unclaimed) is not None for _ in range(n_helpers))
            errors = [self.outcomes.get() for _ in range(n_helpers - n_cancelled)]
        for error in filter(None, errors):
            raise error

    def work(self):
        """Call the kernel until no batch is left."""
        arguments = *self.arguments, *self.scratch()
        while batch := _take(self.batches):
            self.kernel(*batch, *arguments)

    def help_out(self):
        """Work on another thread, unless the caller came to its end before that thread began."""
        if not _take(self.unclaimed):
            return
        error = None
        try:
            self.work()
        except BaseException as raised:  # the caller raises it
            error = raised
        self.outcomes.put(error)


def _take(items):
    """Remove and return one item; None if there is none. No two threads get the same."""
    try:
        return items.pop()
    except IndexError:
        return None


@cache
def _waiting_threads(n):
    """The queue from which n threads take functions to call.

    `concurrent.futures.ThreadPoolExecutor` does the same and takes 60 microseconds more for a call.
    """
    functions = SimpleQueue()

    def work():
        while True:
            functions.get()()

    for i in range(n):
        Thread(target=work, name=f"csc_{i}", daemon=True).start()
    return functions


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting_threads.cache_clear)  # a child inherits no threads
