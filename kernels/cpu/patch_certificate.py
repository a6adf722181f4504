"""Duality gaps of patch codes, in float64 at the cost of float32.

    gap = 1/2 ||r||^2 (1 - s)^2 + sum_k w_k |z_k| - s <D z, r>,   r = x - D z,
    s = 1 / max(1, max_k |d_k^T r| / w_k)

The residual is summed from the few codes that are not zero. The maximum is found in two steps:
``D^T x - G z``, in the precision of the signals and with a bound on its rounding error, shows which
atoms can attain it; only their correlations are computed from the residual in float64.
"""

from math import sqrt

import numpy as np

from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS, largest, list_active
from csc.kernels.cpu.threads import in_batches, inputs


def certify_patches(x, atoms, gram, correlations, weights, positive, z, objective, gap):
    """Objective and duality gap of the lasso of each signal.

    Parameters
    ----------
    x, atoms : arrays (N, n), (K, n)
        Signals and atoms as rows.
    gram, correlations : arrays (K, K), (N, K)
        D^T D and D^T x, computed in the precision of the signals in any order.
    weights : array (K,)
        lmbda w.
    positive : bool
        Whether codes must not be negative.
    z : array (N, K)
        Codes.
    objective, gap : arrays (N,), float64
        The answers.
    """
    norm = float(np.sqrt(np.einsum("kn,kn->k", atoms, atoms, dtype="float64").max()))
    n_atoms, n = atoms.shape
    inverse_lmbda = np.zeros(n_atoms, gram.dtype)
    np.divide(1, weights, out=inverse_lmbda, where=weights > 0)
    *problem, z = inputs(x, atoms, gram, correlations, weights, inverse_lmbda, z)
    options = norm, not positive, float(np.finfo(gram.dtype).eps)

    def scratch():
        lists = np.empty((3, n_atoms), gram.dtype)  # q, upper, lower
        return *np.empty((2, n)), *lists, np.empty(n_atoms, np.intp)

    in_batches(_certify, len(z), *problem, options, z, objective, gap, scratch=scratch)


@entry(**OPTIONS)
def _certify(
    start, stop, x, atoms, gram, correlations, weights, inverse_lmbda, options, z, objective, gap,
    fitted, r, q, upper, lower, active,
):  # fmt: skip
    n, (norm, both_signs, eps) = atoms.shape[1], options
    for i in range(start, stop):
        m = list_active(z[i], active)
        size, penalty_value = 0.0, 0.0
        for a in range(m):
            code = np.float64(z[i, active[a]])
            size += abs(code)
            penalty_value += abs(code) * weights[active[a]]
            if code < 0 and not both_signs:
                penalty_value = np.inf
        energy, residual, fit = _subtract(i, x, atoms, z, m, active, fitted, r)
        _correlate(i, gram, correlations, z, m, active, q)
        # rounding of D^T x, of G and of their sum: gamma_p < p eps for each product of length p
        rounding_error = (n + m + 8) * eps * norm * (sqrt(energy) + norm * size)
        dual_norm = _dual_norm(
            atoms, weights, inverse_lmbda, both_signs, rounding_error, r, q, upper, lower
        )
        shrink = 1 / max(dual_norm, 1.0)
        objective[i] = 0.5 * residual + penalty_value
        below = 0.5 * residual * ((1 - shrink) * (1 - shrink))
        gap[i] = max(below + penalty_value - shrink * fit, 0.0)


@inner(**OPTIONS)
def _subtract(i, x, atoms, z, m, active, fitted, r):
    """D z and r = x - D z of signal ``i`` in float64; returns ||x||^2, ||r||^2 and <D z, r>."""
    n = x.shape[1]
    for j in range(n):
        fitted[j] = 0.0
    for a in range(m):
        k = active[a]
        code = np.float64(z[i, k])
        for j in range(n):
            fitted[j] += code * atoms[k, j]
    energy, residual, fit = 0.0, 0.0, 0.0
    for j in range(n):
        r[j] = x[i, j] - fitted[j]
        energy += np.float64(x[i, j]) * x[i, j]
        residual += r[j] * r[j]
        fit += r[j] * fitted[j]
    return energy, residual, fit


@inner(**OPTIONS)
def _correlate(i, gram, correlations, z, m, active, q):
    """D^T r of signal ``i`` as D^T x - G z, rounded."""
    n = len(gram)
    for k in range(n):
        q[k] = correlations[i, k]
    for a in range(m):
        j = active[a]
        code = z[i, j]
        for k in range(n):
            q[k] -= code * gram[j, k]


@inner(**OPTIONS)
def _dual_norm(atoms, weights, inverse_lmbda, both_signs, rounding_error, r, q, upper, lower):
    """max_k |d_k^T r| / w_k in float64, or any number below 1 if it is below 1.

    If the weight of an atom is 0, it must be orthogonal to the residual, or the maximum is inf.
    """
    n_atoms, negative_sign = len(atoms), q.dtype.type(-1 if both_signs else 0)
    rounding_error = q.dtype.type(rounding_error)
    for k in range(n_atoms):
        dual_infeasibility = max(q[k], negative_sign * q[k])
        upper[k] = (dual_infeasibility + rounding_error) * inverse_lmbda[k]
        lower[k] = (dual_infeasibility - rounding_error) * inverse_lmbda[k]
    largest_lower = max(largest(n_atoms, lower), q.dtype.type(1))  # smaller maxima do not matter
    dual_norm = 0.0
    for k in range(n_atoms):
        if upper[k] >= largest_lower or inverse_lmbda[k] == 0:
            exact = _dot(k, atoms, r)
            exact = abs(exact) if both_signs else max(exact, 0.0)
            if inverse_lmbda[k] > 0:
                dual_norm = max(dual_norm, exact / weights[k])
            elif exact > 0:
                dual_norm = np.inf
    return dual_norm


@inner(**OPTIONS)
def _dot(k, atoms, r):
    total = 0.0
    for j in range(r.size):
        total += atoms[k, j] * r[j]
    return total
