"""The inverse Cholesky factor of a Gram matrix whose atoms change, and other shared functions.

For the active atoms A it is the lower triangular F with F G_AA F^T = 1, the inverse of the
Cholesky factor. A solve is then two products, F^T (F g), whose rows are independent, unlike
those of a substitution. F grows by a row and shrinks by rotations. It is kept in float64
whatever the precision of the codes, and read in blocks of four rows and eight columns: entries
beyond the last atom are zero, as in all vectors over the active atoms.
"""

from math import sqrt

import numpy as np

from csc.kernels.cpu.compilation import inner

OPTIONS = {
    "error_model": "numpy",  # no test before a division, which would prevent vectorisation
    "fastmath": {"reassoc", "contract", "nsz", "arcp", "nnan"},  # infinity keeps its meaning
}


@inner(**OPTIONS)
def padded(m):
    """Least multiple of eight above ``m``."""
    return (m | 7) + 1


def spaced(length, dtype):
    """Row length above ``length`` that is an odd number of cache lines.

    With an even number, the rows of a matrix share few sets of the first-level cache.
    """
    per_line = 64 // np.dtype(dtype).itemsize
    return (length // per_line + 1 | 1) * per_line


@inner(**OPTIONS)
def largest(n, v):
    """Maximum of ``v[:n]``, which it overwrites: folded in halves, to use vectors."""
    while n > 1:
        half = (n + 1) // 2
        for k in range(n - half):
            v[k] = max(v[k], v[k + half])
        n = half
    return v[0]


@inner(**OPTIONS)
def list_active(z, active):
    """List where ``z`` is not zero; returns how often."""
    m = 0
    for k in range(z.size):
        active[m] = k
        m += z[k] != 0
    return m


@inner(**OPTIONS)
def solve(m, factor, g, u):
    """u = G_AA^-1 g for ``m`` active atoms; returns g . u."""
    for b in range(padded(m)):
        u[b] = 0.0
    energy = 0.0
    for a in range(0, m, 4):
        n = padded(a)
        t0 = t1 = t2 = t3 = 0.0
        for b in range(n):
            x = g[b]
            t0 += factor[a, b] * x
            t1 += factor[a + 1, b] * x
            t2 += factor[a + 2, b] * x
            t3 += factor[a + 3, b] * x
        energy += (t0 * t0 + t1 * t1) + (t2 * t2 + t3 * t3)
        for b in range(n):
            u[b] += (t0 * factor[a, b] + t1 * factor[a + 1, b]) + (
                t2 * factor[a + 2, b] + t3 * factor[a + 3, b]
            )
    return energy


@inner(**OPTIONS)
def append(schur, m, factor, u):
    """Add atom number ``m``, given u = G_AA^-1 g and its Schur complement."""
    root = 1 / sqrt(schur)
    for b in range(padded(m)):
        factor[m, b] = -root * u[b]
    factor[m, m] = root
    if m % 4 == 0:
        for a in range(m + 1, m + 4):
            for b in range(padded(m)):
                factor[a, b] = 0.0


@inner(**OPTIONS)
def remove(j, m, factor, carry):
    """Remove atom number ``j`` of ``m``: rotate its column into one row, and delete both."""
    for b in range(padded(m)):
        carry[b] = factor[j, b] if b <= j else 0.0
    length = factor[j, j]
    for a in range(j + 1, m):
        total = sqrt(length * length + factor[a, j] * factor[a, j])
        cos, sin = length / total, factor[a, j] / total
        length = total
        for b in range(padded(a)):
            old, carried = factor[a, b], carry[b]
            factor[a - 1, b] = cos * old - sin * carried  # zero at b = j
            carry[b] = sin * old + cos * carried
    for a in range(j, m - 1):
        for b in range(j, a + 1):
            factor[a, b] = factor[a, b + 1]
        factor[a, a + 1] = 0.0
    for b in range(padded(m)):
        factor[m - 1, b] = 0.0
