"""Batch orthogonal matching pursuit: greedy l0 on the Gram matrix, a signal a thread.

Each step takes in the atom that correlates best with the residual and refits all [1]_. The
atoms taken are made orthonormal as they come; the correlations of all atoms with each of these
directions are kept, so that the next direction and the next residual cost one pass over them.

References
----------
.. [1] R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD algorithm
   using batch orthogonal matching pursuit", Technion CS-2008-08, 2008.
"""

import numpy as np
from numba import njit

from csc.kernels.cpu.inverse_cholesky import OPTIONS, largest
from csc.kernels.cpu.threads import in_batches

C, WORTHS, GAINS, FOLD = range(4)  # rows of ``lists``: vectors over all atoms
RULE, DEPENDENT, ROUNDING = range(3)  # what ended the pursuit of a signal


def omp_gram(gram, correlations, energies, price, n_nonzero, energy, z):
    """Orthogonal matching pursuit; the first of three rules to apply ends it for a signal.

    It stops when the next atom would lower 1/2 ||r||^2 by no more than ``price``, the lmbda of
    1/2 ||x - D z||^2 + lmbda ||z||_0; at ``n_nonzero`` atoms; or when ||r||^2 <= ``energy``.
    In any case it stops when the residual is orthogonal to all atoms up to rounding, or the best
    atom depends on those already taken.

    Parameters
    ----------
    gram, correlations, energies : arrays (K, K), (N, K), (N,)
        D^T D, D^T x and ||x||^2 (float64). Atoms of any norm, zero atoms are never taken.
    price : float
        0 for none.
    n_nonzero : int
        K for any number.
    energy : float
        0 for none.
    z : array (N, K)
        Codes, the answer.

    Returns
    -------
    ends : array (N,) of int8
        What ended each pursuit: 0 one of the rules; 1 the best atom depends on those taken; 2 only
        rounding is left of the correlations.
    """
    ends = np.empty(len(z), np.int8)
    rules = float(price), max(float(energy), 0.0), min(n_nonzero, len(gram))
    in_batches(_omp, len(z), gram, correlations, energies, rules, z, ends)
    return ends


@njit(**OPTIONS)
def _omp(start, stop, gram, correlations, energies, rules, z, ends):  # noqa: PLR0913
    n_atoms, most = len(gram), rules[2]
    lists = np.empty((4, n_atoms), gram.dtype)
    directions = np.empty((most, n_atoms), gram.dtype)
    triangle = np.empty((most + 1, most + 1))  # L of L L^T = G_AA, and y = L^T z below it
    taken = np.empty(most, np.intp)
    for i in range(start, stop):
        _start(gram, correlations, i, lists)
        m, ends[i] = _pursue(gram, energies[i], rules, lists, directions, triangle, taken)
        _refit(m, i, z, triangle, taken)


@njit(**OPTIONS)
def _start(gram, correlations, i, lists):
    """List the correlations of signal ``i`` and 1 / ||d_k||^2."""
    for k in range(len(gram)):
        lists[C, k] = correlations[i, k]
        lists[WORTHS, k] = 1 / gram[k, k] if gram[k, k] > 0 else 0


@njit(**OPTIONS)
def _pursue(gram, residual, rules, lists, directions, triangle, taken):
    """Take atoms until a rule applies; returns how many, and what ended it."""
    price, enough, most = rules
    eps = np.finfo(gram.dtype).eps
    noise = (16 * eps) ** 2 * residual
    m = 0
    while m < most and residual > enough:
        k = _best(len(gram), noise, lists)
        if k < 0:
            return m, ROUNDING
        schur = np.float64(gram[k, k])
        for a in range(m):
            triangle[m, a] = directions[a, k]
            schur -= triangle[m, a] * triangle[m, a]
        gain = lists[C, k] * lists[C, k] / max(schur, eps * gram[k, k])
        if gain <= 2 * price:
            break
        if schur <= 64 * eps * gram[k, k]:
            return m, DEPENDENT
        triangle[m, m] = np.sqrt(schur)
        triangle[most, m] = lists[C, k] / triangle[m, m]
        residual -= gain
        _turn(gram, k, m, lists, directions, triangle)
        lists[WORTHS, k] = 0
        taken[m] = k
        m += 1
    return m, RULE


@njit(**OPTIONS)
def _best(n, noise, lists):
    """The atom with the largest c_k^2 / ||d_k||^2, or -1 if that is noise."""
    for k in range(n):
        lists[GAINS, k] = lists[C, k] * lists[C, k] * lists[WORTHS, k]
        lists[FOLD, k] = lists[GAINS, k]
    top = largest(n, lists, FOLD)
    if top > noise:
        for k in range(n):
            if lists[GAINS, k] == top:
                return k
    return -1


@njit(**OPTIONS)
def _turn(gram, k, m, lists, directions, triangle):
    """Direction number ``m``, atom k without the earlier ones; take it out of the residual."""
    scalar, n = gram.dtype.type, len(gram)
    for j in range(n):
        directions[m, j] = gram[k, j]
    fours = m - m % 4
    for a in range(0, fours, 4):
        t0, t1 = scalar(triangle[m, a]), scalar(triangle[m, a + 1])
        t2, t3 = scalar(triangle[m, a + 2]), scalar(triangle[m, a + 3])
        for j in range(n):
            directions[m, j] -= (t0 * directions[a, j] + t1 * directions[a + 1, j]) + (
                t2 * directions[a + 2, j] + t3 * directions[a + 3, j]
            )
    for a in range(fours, m):
        t0 = scalar(triangle[m, a])
        for j in range(n):
            directions[m, j] -= t0 * directions[a, j]
    root, fit = scalar(1 / triangle[m, m]), scalar(triangle[-1, m])
    for j in range(n):
        directions[m, j] *= root
        lists[C, j] -= fit * directions[m, j]


@njit(**OPTIONS)
def _refit(m, i, z, triangle, taken):
    """Solve L^T z = y for the codes of the atoms taken."""
    for k in range(z.shape[1]):
        z[i, k] = 0
    for a in range(m - 1, -1, -1):
        triangle[-1, a] /= triangle[a, a]
        z[i, taken[a]] = triangle[-1, a]
        for b in range(a):
            triangle[-1, b] -= triangle[a, b] * triangle[-1, a]
