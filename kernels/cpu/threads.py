"""Signals in batches on threads: whichever thread is free takes the next batch."""

from concurrent.futures import ThreadPoolExecutor

from numba import get_num_threads

BATCH = 128  # signals: enough to hide the cost of a call, few enough to share work evenly


def in_batches(kernel, n, *arguments):
    """Call ``kernel(start, stop, *arguments)`` on batches that cover ``range(n)``.

    The kernel must release the GIL. Its signals do not depend on each other, so the result is
    the same for any number of threads; as many run as Numba is set to.
    """
    starts = range(0, n, BATCH)
    if get_num_threads() == 1 or len(starts) == 1:
        for start in starts:
            kernel(start, min(start + BATCH, n), *arguments)
        return
    with ThreadPoolExecutor(get_num_threads()) as pool:
        done = [pool.submit(kernel, s, min(s + BATCH, n), *arguments) for s in starts]
    for batch in done:
        batch.result()
