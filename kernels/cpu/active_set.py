"""The inverse factor of the active atoms' Gram matrix: what the active-set kernels share.

For the active atoms A it is the lower triangular F with F G_AA F^T = I, the inverse of the
Cholesky factor. A solve is then two products, F^T (F g), whose rows do not wait for each other
as those of a substitution do; it grows by a row, and rotations shrink it. It is kept in float64
whatever the precision of the codes. Rows are read by fours and columns by eights, so both are
padded with zeros.
"""

import numpy as np
from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp", "nnan"}
LANES = 8  # float64 numbers in a vector
BATCH = 128  # signals between two allocations of scratch memory


def inlined(function):
    """Compile ``function`` for use inside kernels, with their floating-point freedoms."""
    return njit(function, fastmath=FAST, cache=True)


@inlined
def padded(m):
    """Least multiple of LANES above ``m``."""
    return (m // LANES + 1) * LANES


@inlined
def empty_factor(n_atoms):
    """Room for all atoms, rows an odd number of cache lines apart: they share no cache set."""
    return np.empty((n_atoms + 4, (padded(n_atoms) // LANES | 1) * LANES))


@inlined
def solve(factor, g, m, u):
    """u = G_AA^-1 g for ``m`` active atoms; returns g . u."""
    for p in range(padded(m)):
        u[p] = 0.0
    energy = 0.0
    for j in range(0, m, 4):
        n = padded(j)
        t0 = t1 = t2 = t3 = 0.0
        for p in range(n):
            t0 += factor[j, p] * g[p]
            t1 += factor[j + 1, p] * g[p]
            t2 += factor[j + 2, p] * g[p]
            t3 += factor[j + 3, p] * g[p]
        energy += (t0 * t0 + t1 * t1) + (t2 * t2 + t3 * t3)
        for p in range(n):
            u[p] += (t0 * factor[j, p] + t1 * factor[j + 1, p]) + (
                t2 * factor[j + 2, p] + t3 * factor[j + 3, p]
            )
    return energy


@inlined
def append(factor, u, schur, m):
    """Take in an atom with G_AA^-1 g = ``u`` and Schur complement ``schur`` as number ``m``."""
    root = 1 / np.sqrt(schur)
    for p in range(padded(m)):
        factor[m, p] = -root * u[p] if p < m else 0.0
    factor[m, m] = root
    if m % 4 == 0:
        for j in range(m + 1, m + 4):
            for p in range(padded(m)):
                factor[j, p] = 0.0


@inlined
def remove(factor, j, m, carry):
    """Let atom number ``j`` of ``m`` go: rotate its column into one row, and drop both."""
    for p in range(padded(m)):
        carry[p] = factor[j, p] if p <= j else 0.0
    length = factor[j, j]
    for i in range(j + 1, m):
        entry = factor[i, j]
        total = np.sqrt(length * length + entry * entry)
        cos, sin = length / total, entry / total
        length = total
        for p in range(j):
            factor[i - 1, p] = cos * factor[i, p] - sin * carry[p]
            carry[p] = sin * factor[i, p] + cos * carry[p]
        for p in range(j + 1, i + 1):
            factor[i - 1, p - 1] = cos * factor[i, p] - sin * carry[p]
            carry[p] = sin * factor[i, p] + cos * carry[p]
        factor[i - 1, i] = 0.0
    for p in range(padded(m)):
        factor[m - 1, p] = 0.0


@inlined
def subtract(rows, active, codes, m, c):
    """c -= sum_a codes[a] rows[active[a]], four rows at a time."""
    full = m - m % 4
    for a in range(0, full, 4):
        k0, k1, k2, k3 = active[a], active[a + 1], active[a + 2], active[a + 3]
        z0, z1 = c.dtype.type(codes[a]), c.dtype.type(codes[a + 1])
        z2, z3 = c.dtype.type(codes[a + 2]), c.dtype.type(codes[a + 3])
        for k in range(c.size):
            c[k] -= (z0 * rows[k0, k] + z1 * rows[k1, k]) + (z2 * rows[k2, k] + z3 * rows[k3, k])
    for a in range(full, m):
        k0, z0 = active[a], c.dtype.type(codes[a])
        for k in range(c.size):
            c[k] -= z0 * rows[k0, k]


@inlined
def largest(values, fold):
    """Maximum of ``values`` by folding them in halves, which the compiler can vectorise."""
    n = values.size
    for k in range(n):
        fold[k] = values[k]
    while n > 1:
        half = (n + 1) // 2
        for k in range(n - half):
            fold[k] = max(fold[k], fold[k + half])
        n = half
    return fold[0]
