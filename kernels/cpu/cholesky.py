"""Linear systems by Cholesky's factor of a matrix of any size that fits the first caches."""

import numpy as np

from csc.kernels.cpu.compilation import inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS, padded


@inner(**OPTIONS)
def factorise(n, ridge, last, diagonal, a, right):
    """Replace a symmetric matrix by the upper triangular U with ``U^T U = A + ridge diag(A)``, and b by ``U^-T b``.

    Row k of A has no entry other than 0 after column ``last[k]``, up to ``padded(n)``, and ``last`` does not
    fall: then U has none either. So the envelope of the matrix is kept: of the atoms of a series in their order, a
    band. Four rows are finished at a time. No pivot is less than half its ridge. ``diagonal`` is scratch.
    """
    for k in range(n):
        diagonal[k] = a[k, k]
        a[k, k] *= 1 + ridge
    for k in range(n):
        # unsigned: a test for numbers below 0 would prevent vectors
        stop = np.uint64(padded(last[k]))
        _finish(k, 0.5 * ridge * diagonal[k], stop, a, right)
        if k & 3 < 3:
            continue
        for i in range(k + 1, last[k] + 1):
            f0, f1, f2, f3 = a[k - 3, i], a[k - 2, i], a[k - 1, i], a[k, i]
            right[i] -= f0 * right[k - 3] + f1 * right[k - 2] + f2 * right[k - 1] + f3 * right[k]
            for j in range(np.uint64(i & ~7), stop):
                a[i, j] -= (f0 * a[k - 3, j] + f1 * a[k - 2, j]) + (f2 * a[k - 1, j] + f3 * a[k, j])


@inner(**OPTIONS)
def _finish(k, least, stop, a, right):
    """Row ``k`` of the factor, once the rows before its four have been subtracted."""
    start = np.uint64(k & ~7)
    for i in range(k & ~3, k):
        entry = a[i, k]
        right[k] -= entry * right[i]
        for j in range(start, stop):
            a[k, j] -= entry * a[i, j]
    inverse = 1 / np.sqrt(max(a[k, k], least))
    right[k] *= inverse
    for j in range(start, stop):
        a[k, j] *= inverse


@inner(**OPTIONS)
def substitute(n, last, factor, right):
    """Solve ``U x = b``; b is replaced by x."""
    for k in range(n - 1, -1, -1):
        total = right[k]
        for j in range(np.uint64(k + 1), np.uint64(last[k] + 1)):
            total -= factor[k, j] * right[j]
        right[k] = total / factor[k, k]
