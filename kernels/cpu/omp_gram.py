"""Batch orthogonal matching pursuit: greedy l0 on the Gram matrix, one thread per signal.

Each step selects the atom that correlates best with the residual and refits all codes [1]_. The
selected atoms are orthonormalised one after the other. The correlations of all atoms with each of
these directions are stored, so the next direction and the next residual cost one pass over them.

References
----------
.. [1] R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD algorithm
   using batch orthogonal matching pursuit", Technion CS-2008-08, 2008.
"""

from math import sqrt

import numpy as np

from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS, largest
from csc.kernels.cpu.threads import in_batches

STOPPING_RULE, DEPENDENT, ROUNDING = range(3)  # why a signal stopped


def omp_gram(gram, correlations, energies, lmbda, n_nonzero, energy, z):
    """Orthogonal matching pursuit; a signal stops when the first of three rules is met.

    The rules: the next atom would lower 1/2 ||r||^2 by no more than ``lmbda``, as in
    1/2 ||x - D z||^2 + lmbda ||z||_0; ``n_nonzero`` atoms are selected; ||r||^2 <= ``energy``.
    It also stops when the residual is orthogonal to all atoms up to rounding, or when the best
    atom is linearly dependent on the selected ones.

    Parameters
    ----------
    gram, correlations, energies : arrays (K, K), (N, K), (N,)
        D^T D, D^T x and ||x||^2 (float64). Atoms of any norm, zero atoms are never selected.
    lmbda : float
        0 for no such rule.
    n_nonzero : int
        K for no such rule.
    energy : float
        0 for no such rule.
    z : array (N, K)
        Codes, the answer.

    Returns
    -------
    ends : array (N,) of int8
        Why each signal stopped: 0, one of the rules; 1, the best atom is linearly dependent on the
        selected ones; 2, the correlations are no larger than rounding errors.
    """
    ends = np.empty(len(z), np.int8)
    eps = float(np.finfo(gram.dtype).eps)
    stopping = float(lmbda), max(float(energy), 0.0), min(int(n_nonzero), len(gram)), eps

    def scratch():
        n_atoms, max_atoms = len(gram), stopping[2]
        lists = np.empty((4, n_atoms), gram.dtype)  # c, inverse_norms2, decreases, scratch
        directions = np.empty((max_atoms, n_atoms), gram.dtype)
        triangle = np.empty((max_atoms + 1, max_atoms + 1))  # L of L L^T = G_AA; y = L^T z below
        return *lists, directions, triangle, np.empty(max_atoms, np.intp)

    in_batches(_omp, len(z), gram, correlations, energies, stopping, z, ends, scratch=scratch)
    return ends


@entry(**OPTIONS)
def _omp(
    start, stop, gram, correlations, energies, stopping, z, ends,
    c, inverse_norms2, decreases, scratch, directions, triangle, selected,
):  # fmt: skip
    for i in range(start, stop):
        _start(gram, correlations, i, c, inverse_norms2)
        m, ends[i] = _pursue(
            gram, energies[i], stopping, c, inverse_norms2, decreases, scratch, directions,
            triangle, selected,
        )  # fmt: skip
        _refit(m, i, z, triangle, selected)


@inner(**OPTIONS)
def _start(gram, correlations, i, c, inverse_norms2):
    """List the correlations of signal ``i`` and 1 / ||d_k||^2."""
    for k in range(len(gram)):
        c[k] = correlations[i, k]
        inverse_norms2[k] = 1 / gram[k, k] if gram[k, k] > 0 else 0


@inner(**OPTIONS)
def _pursue(
    gram, residual, stopping, c, inverse_norms2, decreases, scratch, directions, triangle, selected
):
    """Select atoms until a rule is met; returns how many, and why it stopped."""
    lmbda, target_energy, max_atoms, eps = stopping
    noise = (16 * eps) * (16 * eps) * residual
    m = 0
    while m < max_atoms and residual > target_energy:
        k = _best(noise, c, inverse_norms2, decreases, scratch)
        if k < 0:
            return m, ROUNDING
        schur = np.float64(gram[k, k])
        for a in range(m):
            triangle[m, a] = directions[a, k]
            schur -= triangle[m, a] * triangle[m, a]
        decrease = c[k] * c[k] / max(schur, eps * gram[k, k])
        if decrease <= 2 * lmbda:
            break
        if schur <= 64 * eps * gram[k, k]:
            return m, DEPENDENT
        triangle[m, m] = sqrt(schur)
        triangle[max_atoms, m] = c[k] / triangle[m, m]
        residual -= decrease
        _add_direction(gram, k, m, c, directions, triangle)
        inverse_norms2[k] = 0
        selected[m] = k
        m += 1
    return m, STOPPING_RULE


@inner(**OPTIONS)
def _best(noise, c, inverse_norms2, decreases, scratch):
    """The atom with the largest c_k^2 / ||d_k||^2, or -1 if that is a rounding error."""
    for k in range(c.size):
        decreases[k] = c[k] * c[k] * inverse_norms2[k]
        scratch[k] = decreases[k]
    top = largest(c.size, scratch)
    if top > noise:
        for k in range(c.size):
            if decreases[k] == top:
                return k
    return -1


@inner(**OPTIONS)
def _add_direction(gram, k, m, c, directions, triangle):
    """Orthogonalise atom k against the first ``m`` directions; subtract it from the residual."""
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
        c[j] -= fit * directions[m, j]


@inner(**OPTIONS)
def _refit(m, i, z, triangle, selected):
    """Solve L^T z = y for the codes of the selected atoms."""
    for k in range(z.shape[1]):
        z[i, k] = 0
    for a in range(m - 1, -1, -1):
        triangle[-1, a] /= triangle[a, a]
        z[i, selected[a]] = triangle[-1, a]
        for b in range(a):
            triangle[-1, b] -= triangle[a, b] * triangle[-1, a]
