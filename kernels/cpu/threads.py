"""Batches of work on threads: whichever thread is free takes the next batch.

Plain Python threads call kernels that release the GIL. Such kernels compile in a third of the time
of Numba's own parallel loops and may be called from any thread, and no thread waits busily between
two calls.
"""

import os
from functools import cache
from itertools import pairwise
from queue import SimpleQueue
from threading import Thread

import numpy as np
from numba import get_num_threads

from csc.kernels.cpu.atomics import Phases

MIN_SIGNALS_PER_BATCH = 128  # fewer do not repay the call
MULTIPLICATIONS_PER_THREAD = 2**20  # fewer do not repay waking it: a quarter of a millisecond
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
    parts = min(MAX_BATCHES_PER_THREAD * threads, n // min_batch)
    size = -(-n // max(parts, threads))  # equal parts, also of few items: none waits for another
    if threads == 1:
        kernel(0, n, *arguments, *scratch())
        return
    batches = [(i, min(i + size, n)) for i in range(0, n, size)]
    _Batches(kernel, batches, min(threads, len(batches)), arguments, scratch).run()


def in_phases(kernel, shape, work, *arguments):
    """Call ``kernel(thread, ..., *arguments, phases)`` on threads that share phases, see `Phases`.

    Parameters
    ----------
    kernel : callable
        It must release the GIL.
    shape : (n_phases, n_parts)
        A phase may have fewer parts.
    work : int
        Multiplications of the call: other threads must repay.
    """
    n_threads = min(get_num_threads(), 1 + work // MULTIPLICATIONS_PER_THREAD)
    claims, finished = np.zeros(shape[0] * shape[1], np.int64), np.zeros(shape[0], np.int64)
    phases = Phases(claims, finished, n_threads)
    in_batches(kernel, n_threads, *arguments, phases, min_batch=1)


class _Batches:
    """Batches of one call, and what other threads made of it.

    Each thread begins with batches of its own, the same in every call: their data are in the cache of its
    core. Then it takes what is left of the others'.
    """

    def __init__(self, kernel, batches, n_threads, arguments, scratch):
        self.kernel, self.arguments, self.scratch = kernel, arguments, scratch
        bounds = [len(batches) * i // n_threads for i in range(n_threads + 1)]
        self.shares = [batches[i:j][::-1] for i, j in pairwise(bounds)]
        self.unclaimed, self.outcomes = [], SimpleQueue()

    def run(self):
        """Work on this thread and on others; the first error is raised."""
        n_helpers = len(self.shares) - 1
        self.unclaimed = list(range(n_helpers, 0, -1))
        for _ in range(n_helpers):
            _waiting_threads(n_helpers + 1).put(self.help_out)
        try:
            self.work(0)  # the caller works too: waking a sleeping thread takes long
        finally:  # after an interrupt no thread may still write to the arrays
            for share in self.shares:
                share.clear()
            n_cancelled = sum(_take(self.unclaimed) is not None for _ in range(n_helpers))
            errors = [self.outcomes.get() for _ in range(n_helpers - n_cancelled)]
        for error in filter(None, errors):
            raise error

    def work(self, number):
        """Call the kernel on the batches of share ``number``, then of the next ones, until none is left."""
        arguments = *self.arguments, *self.scratch()
        for share in self.shares[number:] + self.shares[:number]:
            while batch := _take(share):
                self.kernel(*batch, *arguments)

    def help_out(self):
        """Work on another thread, unless the caller came to its end before that thread began."""
        number = _take(self.unclaimed)
        if number is None:
            return
        error = None
        try:
            self.work(number)
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
