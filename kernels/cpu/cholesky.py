"""Linear systems by Cholesky's factor of a matrix of any size that fits the first caches."""

import numpy as np

from csc.kernels.cpu.compilation import inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS, padded


@inner(**OPTIONS)
def factorise(n, ridge, diagonal, a):
    """Replace a symmetric matrix by the upper triangular U with ``U^T U = A + ridge diag(A)``.

    Four rows are finished at a time. The columns after it, to ``padded(n)``, become ``U^-T`` times
    them. No pivot is less than half its ridge. ``diagonal`` is scratch.
    """
    stop = np.uint64(padded(n))  # unsigned: a test for numbers below 0 would prevent vectors
    for k in range(n):
        diagonal[k] = a[k, k]
        a[k, k] *= 1 + ridge
    for k in range(n):
        _finish(k, 0.5 * ridge * diagonal[k], stop, a)
        if k & 3 < 3:
            continue
        for i in range(k + 1, n):
            f0, f1, f2, f3 = a[k - 3, i], a[k - 2, i], a[k - 1, i], a[k, i]
            for j in range(np.uint64(i & ~7), stop):
                a[i, j] -= (f0 * a[k - 3, j] + f1 * a[k - 2, j]) + (f2 * a[k - 1, j] + f3 * a[k, j])


@inner(**OPTIONS)
def _finish(k, least, stop, a):
    """Row ``k`` of the factor, once the rows before its four have been subtracted."""
    start = np.uint64(k & ~7)
    for i in range(k & ~3, k):
        entry = a[i, k]
        for j in range(start, stop):
            a[k, j] -= entry * a[i, j]
    inverse = 1 / np.sqrt(max(a[k, k], least))
    for j in range(start, stop):
        a[k, j] *= inverse


@inner(**OPTIONS)
def substitute(n, factor, out):
    """Solve ``U out = b``, where b is the column after the factor."""
    for k in range(n - 1, -1, -1):
        total = factor[k, n]
        for j in range(np.uint64(k + 1), np.uint64(n)):
            total -= factor[k, j] * out[j]
        out[k] = total / factor[k, k]
