"""Batch orthogonal matching pursuit on the Gram matrix, a signal a thread."""

import numpy as np
from csc.kernels.cpu.active_set import BATCH, FAST, append, empty_factor, padded, solve, subtract
from numba import njit, prange

DEPENDENT = 1e-6  # share of an atom's energy outside the span of the active ones


@njit(cache=True, fastmath=FAST)
def _best_atom(c, gram, active, m):
    """Atom whose direction alone would lower the residual's energy most; -1 if none does."""
    best, most = -1, 0.0
    for k in range(c.size):
        if gram[k, k] > 0 and c[k] * c[k] > most * gram[k, k]:
            best, most = k, c[k] * c[k] / gram[k, k]
    for a in range(m):
        if active[a] == best:
            return -1  # only rounding is left
    return best


@njit(cache=True, fastmath=FAST)
def _pursue(gram, q, energy, rules, memory, z):
    """Code one signal; returns with its codes in ``z``."""
    price, most, enough = rules
    factor, active, codes, g, u, c = memory
    m = 0
    codes[:] = 0
    while m < most and energy > enough:
        for k in range(c.size):
            c[k] = q[k]
        subtract(gram, active, codes, m, c)
        k = _best_atom(c, gram, active, m)
        if k < 0:
            break
        g[:] = 0
        for a in range(m):
            g[a] = gram[k, active[a]]
        schur = gram[k, k] - solve(factor, g, m, u)
        if schur <= DEPENDENT * gram[k, k] or 0.5 * c[k] * c[k] <= price * schur:
            break
        append(factor, u, schur, m)
        for a in range(m):
            codes[a] -= u[a] * c[k] / schur
        codes[m], active[m] = c[k] / schur, k
        energy -= c[k] * c[k] / schur
        m += 1
    for a in range(m):
        z[active[a]] = codes[a]


@njit(cache=True, parallel=True)
def omp_gram(form, rules, z):
    """Greedy codes of every signal, one atom at a time with all codes refitted [1]_.

    A signal ends when the next atom lowers ``1/2 ||r||^2`` by no more than ``price``, at
    ``n_nonzero`` atoms, when ``||r||^2 <= energy``, or when only dependent atoms are left.

    Parameters
    ----------
    form : (gram (K, K), correlations (N, K), energies (N,) float64): D^T D, D^T x, ||x||^2
    rules : (price, n_nonzero, energy)
    z : (N, K) array, out

    References
    ----------
    .. [1] R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD
       algorithm using batch orthogonal matching pursuit", Technion CS-2008-08, 2008.
    """
    for batch in prange(-(-len(z) // BATCH)):
        _pursue_batch(form, rules, batch, z)


@njit(cache=True)
def _pursue_batch(form, rules, batch, z):
    """Code ``BATCH`` signals with one scratch memory."""
    gram, correlations, energies = form
    k = len(gram)
    room = padded(k)
    memory = (
        empty_factor(k), np.zeros(k, np.intp), np.zeros(room), np.zeros(room), np.zeros(room),
        np.empty_like(gram[0]),
    )  # fmt: skip
    for i in range(batch * BATCH, min(len(z), (batch + 1) * BATCH)):
        z[i] = 0
        _pursue(gram, correlations[i], energies[i], rules, memory, z[i])
